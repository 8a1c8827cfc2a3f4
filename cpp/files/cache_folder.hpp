// The folder for derived files: where it is, and that nobody else can have put anything there.
//
// Engines map files of the cache and parse them in native code, so it belongs to this user or to root, and only its
// owner may write to it. A named folder that breaks the rule is refused. The default that breaks it, or that cannot be
// written, gives way to a private temporary folder, and a warning says so.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>

namespace aptp {

// Hears of what was survived.
using Warn = std::function<void(const std::string&)>;

// `$XDG_CACHE_HOME/aptp`, or `~/.cache/aptp`; nothing for a user without a home.
std::optional<std::filesystem::path> default_folder();

// Why what lies in `folder` cannot be trusted, with the remedy; nothing where it can, or is not there.
// `group_writable`: users of its group are trusted too.
std::optional<std::string> find_fault(const std::filesystem::path& folder, bool group_writable = false);

// Make `folder` unless it is there, for its owner alone or for its group as well. Throws std::system_error.
void make_folder(const std::filesystem::path& folder, bool group_writable = false);

// Throws Failure (cache) where `find_fault` finds one.
void check_folder(const std::filesystem::path& folder, bool group_writable = false);

// This process's own temporary folder, gone when it ends; the first call warns `why` it is used. Throws Failure (cache)
// where there is none to be had.
std::filesystem::path private_folder(const std::string& why, const Warn& warn);

}  // namespace aptp
