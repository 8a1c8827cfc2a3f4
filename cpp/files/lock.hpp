// Locks: files that one process at a time holds. Its end, however it comes, lets go of them.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>

#include "files/cache_folder.hpp"
#include "files/verified.hpp"

namespace aptp {

// The file at a path, held as long as this lives; it stays when it is let go of, for others have to find it again.
class Lock {
public:
    // Wait for at most `seconds` until others let go of it. It names its holder; `mode` are its rights. A long wait is
    // a warning. Throws Failure (cache), which ends with `remedy`, and std::system_error.
    Lock(const std::filesystem::path& path, const std::string& remedy, double seconds, mode_t mode, const Warn& warn);

private:
    Descriptor file_;
};

}  // namespace aptp
