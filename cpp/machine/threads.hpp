// How many threads of this process can run at once: on processors that it may use, within its groups' quota.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <set>

namespace aptp {

// The numbers of the processors that this process may use, its cpuset's at most.
std::set<int> allowed_processors();

// How many of its threads can run at once.
std::int64_t running_threads(const std::set<int>& allowed, const std::filesystem::path& root = "/");

// How many threads of one call pay: as above, but one a core, for those that share a core share its arithmetic.
std::int64_t call_threads(const std::set<int>& allowed, const std::filesystem::path& root = "/");

// How many threads a quota of time leaves, where those are fewer than there are processors for this process.
std::optional<std::int64_t> quota_threads(const std::set<int>& allowed, const std::filesystem::path& root = "/");

}  // namespace aptp
