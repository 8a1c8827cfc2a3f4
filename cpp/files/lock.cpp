#include "files/lock.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <system_error>
#include <thread>
#include <vector>

#include "errors.hpp"

namespace aptp {

namespace {

using Clock = std::chrono::steady_clock;

constexpr auto PAUSE = std::chrono::milliseconds(50);  // between two tries
constexpr double QUIET = 5;                            // seconds that a process waits without a word
// O_NONBLOCK: opening a FIFO returns at once, and is then refused as no regular file.
constexpr int OPEN = O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;

[[noreturn]] void refuse(int error) { throw std::system_error(error, std::generic_category()); }

struct stat look_at(const Descriptor& file) {
    struct stat found {};
    if (::fstat(file.number(), &found) != 0) refuse(errno);
    return found;
}

std::vector<std::string> words_of(const std::string& line) {
    std::vector<std::string> words;
    for (std::size_t end = 0, start; (start = line.find_first_not_of(' ', end)) != std::string::npos;) {
        end = std::min(line.find(' ', start), line.size());
        words.push_back(line.substr(start, end - start));
    }
    return words;
}

// The process that holds the file, "unknown" where it is: as the system says, else as the file does.
std::string holder(const Descriptor& file) {
    const struct stat found = look_at(file);
    char place[64];
    std::snprintf(place, sizeof place, "%02x:%02x:%llu", major(found.st_dev), minor(found.st_dev),
                  static_cast<unsigned long long>(found.st_ino));
    std::ifstream locks("/proc/locks");
    for (std::string line; std::getline(locks, line);) {
        // number, kind, strength, access, process (0: one outside this container), file, range
        const std::vector<std::string> words = words_of(line);
        if (words.size() > 5 && words[1] == "FLOCK" && words[5] == place && words[4] != "0") return words[4];
    }
    char told[17] = {};
    const ssize_t count = ::pread(file.number(), told, sizeof told - 1, 0);
    const std::string text(told, static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
    const bool is_number = !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
    return is_number ? text : "unknown";
}

std::string rounded(double seconds) { return std::to_string(static_cast<long long>(seconds + 0.5)); }

}  // namespace

Lock::Lock(const std::filesystem::path& path, const std::string& remedy, double seconds, mode_t mode, const Warn& warn)
    : file_(::open(path.c_str(), OPEN, mode)) {
    if (file_.number() < 0) refuse(errno);
    if (!S_ISREG(look_at(file_).st_mode)) refuse(EINVAL);
    const Clock::time_point start = Clock::now();
    bool is_told = false;
    while (::flock(file_.number(), LOCK_EX | LOCK_NB) != 0) {
        if (errno == EINTR) continue;
        if (errno != EWOULDBLOCK) refuse(errno);
        const double waited = std::chrono::duration<double>(Clock::now() - start).count();
        if (waited >= seconds) {
            const std::string how_long = waited >= 1 ? ", " + rounded(waited) + " s waited" : "";
            throw Failure(Status::cache, path.string() + ": locked by pid " + holder(file_) + how_long + "; " + remedy);
        }
        if (waited >= QUIET && !is_told && warn) {
            warn(path.string() + ": waiting for pid " + holder(file_) + ", which holds it, at most " +
                 rounded(seconds) + " s");
        }
        is_told = is_told || waited >= QUIET;
        std::this_thread::sleep_for(PAUSE);
    }
    // Another user's cannot be changed, and a full disk leaves the holder unnamed.
    const std::string own = std::to_string(::getpid());
    [[maybe_unused]] const bool has_mode = ::fchmod(file_.number(), mode) == 0;
    [[maybe_unused]] const bool has_name =
        ::ftruncate(file_.number(), 0) == 0 && ::pwrite(file_.number(), own.data(), own.size(), 0) > 0;
}

}  // namespace aptp
