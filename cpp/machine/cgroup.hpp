// The limits that control groups, of version 1 or 2, set to this process, as containers and batch systems do.
//
// A limit holds for everything below the group that sets it, so those of all groups above count as well.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

namespace aptp {

// The most bytes that this process and its neighbours may use together; nothing without a limit. `root` is where the
// file system begins, here and below.
std::optional<std::int64_t> memory_limit(const std::filesystem::path& root = "/");

// How many processors' time they may use together, maybe a fraction; nothing without a limit.
std::optional<double> processor_limit(const std::filesystem::path& root = "/");

}  // namespace aptp
