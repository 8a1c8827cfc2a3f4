#include "files/cache_folder.hpp"

#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <map>
#include <mutex>
#include <system_error>
#include <vector>

#include "errors.hpp"

namespace aptp {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t ENTRY = 1 << 14;  // bytes for what the system knows of a user

std::optional<fs::path> home() {
    if (const char* named = std::getenv("HOME"); named != nullptr && *named != '\0') return fs::path(named);
    std::vector<char> buffer(ENTRY);
    struct passwd entry {};
    struct passwd* found = nullptr;
    if (::getpwuid_r(::getuid(), &entry, buffer.data(), buffer.size(), &found) != 0 || found == nullptr) return {};
    return fs::path(found->pw_dir);
}

// The temporary folder of each process: a fork makes its own.
class PrivateFolders {
public:
    ~PrivateFolders() {
        std::error_code ignored;
        const auto own = folders_.find(::getpid());  // a forked child ends before its parent
        if (own != folders_.end()) fs::remove_all(own->second, ignored);
    }

    fs::path get(const std::string& why, const Warn& warn) {
        const std::lock_guard lock(mutex_);
        fs::path& own = folders_[::getpid()];
        if (own.empty()) {
            std::error_code code;
            std::string name = (fs::temp_directory_path(code) / "aptp-XXXXXX").string();
            if (code || ::mkdtemp(name.data()) == nullptr) {
                throw Failure(Status::cache, why + ", and no temporary folder can be made; name one with --cache");
            }
            own = name;
            if (warn) {
                warn(why + "; weights are unpacked into " + name +
                     ", until this process ends: name a folder with --cache to keep them");
            }
        }
        return own;
    }

private:
    std::mutex mutex_;
    std::map<pid_t, fs::path> folders_;
};

}  // namespace

std::optional<fs::path> default_folder() {
    const char* base = std::getenv("XDG_CACHE_HOME");
    if (base != nullptr && *base != '\0') return fs::path(base) / "aptp";
    const std::optional<fs::path> found = home();
    if (!found) return {};
    return *found / ".cache" / "aptp";
}

std::optional<std::string> find_fault(const fs::path& folder, bool group_writable) {
    struct stat found {};
    if (::stat(folder.c_str(), &found) != 0) return {};  // whoever writes there will say what is wrong
    if (found.st_uid != 0 && found.st_uid != ::geteuid()) {
        return "belongs to another user (number " + std::to_string(found.st_uid) +
               "): name a folder of your own with --cache";
    }
    if ((found.st_mode & S_IWOTH) != 0) return "can be written by every user: run `chmod o-w` on it";
    if ((found.st_mode & S_IWGRP) != 0 && !group_writable) {
        return "can be written by its group: run `chmod g-w` on it, or trust them by --cache-group-writable";
    }
    return {};
}

void make_folder(const fs::path& folder, bool group_writable) {
    if (folder.has_parent_path()) fs::create_directories(folder.parent_path());
    if (::mkdir(folder.c_str(), 0700) != 0) {
        const int error = errno;
        if (error == EEXIST && fs::is_directory(folder)) return;
        throw std::system_error(error == EEXIST ? ENOTDIR : error, std::generic_category());
    }
    // Whatever the umask.
    if (group_writable) fs::permissions(folder, fs::perms::group_all, fs::perm_options::add);
}

void check_folder(const fs::path& folder, bool group_writable) {
    if (const auto fault = find_fault(folder, group_writable)) {
        throw Failure(Status::cache, folder.string() + ": " + *fault);
    }
}

fs::path private_folder(const std::string& why, const Warn& warn) {
    static PrivateFolders folders;
    return folders.get(why, warn);
}

}  // namespace aptp
