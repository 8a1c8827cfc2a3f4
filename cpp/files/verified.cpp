#include "files/verified.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "files/sha256.hpp"
#include "errors.hpp"

namespace aptp {
namespace {

constexpr std::size_t BUFFER = 1 << 20;
constexpr int FOLDER = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
// O_NONBLOCK: opening a FIFO returns at once, and is then refused as no regular file.
constexpr int REGULAR = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;

bool is_component(const std::string& text) {
    const auto is_word = [](char one) {
        return (one >= '0' && one <= '9') || (one >= 'A' && one <= 'Z') || (one >= 'a' && one <= 'z') || one == '_';
    };
    return !text.empty() && is_word(text[0]) &&
           std::all_of(text.begin(), text.end(), [&](char one) { return is_word(one) || one == '.' || one == '-'; });
}

std::vector<std::string> components(const std::string& path) {
    std::vector<std::string> found;
    std::size_t start = 0;
    for (std::size_t end = path.find('/'); end != std::string::npos; end = path.find('/', start)) {
        found.push_back(path.substr(start, end - start));
        start = end + 1;
    }
    found.push_back(path.substr(start));
    return found;
}

std::string reason(int error) {
    if (error == ENOENT) return "is missing";
    if (error == ELOOP || error == ENOTDIR) {
        return "is a link, or is reached through one or through something that is no folder";
    }
    return "cannot be opened: " + std::generic_category().message(error);
}

struct stat status_of(const Descriptor& file) {
    struct stat status {};
    if (::fstat(file.number(), &status) != 0) {
        throw Failure(Status::integrity, "a file cannot be looked at: " + std::generic_category().message(errno));
    }
    return status;
}

// One read, which may give less than asked for, and nothing only at the end.
std::size_t read_some(const Descriptor& file, char* out, std::size_t size, const std::string& where) {
    for (;;) {
        const ssize_t count = ::read(file.number(), out, size);
        if (count >= 0) return static_cast<std::size_t>(count);
        if (errno != EINTR) {
            throw Failure(Status::integrity, where + ": cannot be read: " + std::generic_category().message(errno));
        }
    }
}

std::string digest_of(const Descriptor& file, const std::string& where) {
    Sha256 digest;
    std::vector<char> buffer(BUFFER);
    while (const std::size_t count = read_some(file, buffer.data(), buffer.size(), where)) {
        digest.update(buffer.data(), count);
    }
    return digest.hexadecimal();
}

}  // namespace

const std::string& check_path(const std::string& path, const std::string& where) {
    const std::vector<std::string> parts = components(path);
    if (path.size() > PATH_LENGTH || !std::all_of(parts.begin(), parts.end(), is_component)) {
        throw Failure(Status::manifest,
                      where + ": " + repr(path) +
                          " is not a path inside the bundle (parts of letters, digits, '.', '_' and '-', not "
                          "beginning with '.' or '-', joined by '/', at most " +
                          std::to_string(PATH_LENGTH) + " characters)");
    }
    return path;
}

Descriptor::~Descriptor() {
    if (number_ >= 0) ::close(number_);
}

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
}

Descriptor open_beneath(const std::filesystem::path& root, const std::string& path, const std::string& remedy) {
    check_path(path, root.string());
    const std::string where = root.string() + "/" + path;
    const auto checked = [&](int number) {
        if (number < 0) throw Failure(Status::integrity, where + ": " + reason(errno) + "; " + remedy);
        return Descriptor(number);
    };
    std::vector<std::string> parts = components(path);
    Descriptor current = checked(::open(root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    for (std::size_t index = 0; index < parts.size(); ++index) {
        const int flags = index + 1 < parts.size() ? FOLDER : REGULAR;
        current = checked(::openat(current.number(), parts[index].c_str(), flags));
    }
    if (!S_ISREG(status_of(current).st_mode)) {
        throw Failure(Status::integrity, where + ": is not a regular file; " + remedy);
    }
    return current;
}

std::string read_up_to(const Descriptor& file, std::size_t most, const std::string& where) {
    std::string data;
    std::vector<char> buffer(std::min(most, BUFFER));
    while (data.size() < most) {
        const std::size_t count = read_some(file, buffer.data(), std::min(buffer.size(), most - data.size()), where);
        if (count == 0) break;
        data.append(buffer.data(), count);
    }
    return data;
}

VerifiedFiles::VerifiedFiles(std::filesystem::path root, Table<FileEntry> entries, std::string remedy)
    : root_(std::move(root)), entries_(std::move(entries)), remedy_(std::move(remedy)) {}

std::filesystem::path VerifiedFiles::file(const std::string& path) const {
    const FileEntry& wanted = entry(path);
    const Descriptor opened = open_beneath(root_, path, remedy_);
    const Stamp before = stamp(opened);
    if (!is_checked(path, before)) {
        check_size(path, status_of(opened).st_size, wanted);
        check_hash(path, digest(path, opened), wanted);
        if (stamp(opened) != before) {
            throw Failure(Status::integrity, place(path) + ": changed while it was being read; " + remedy_);
        }
        const std::lock_guard lock(mutex_);
        checked_[path] = before;
    }
    return root_ / path;
}

std::string VerifiedFiles::digest(const std::string& path, const Descriptor& file) const {
    return digest_of(file, place(path));
}

std::string VerifiedFiles::read(const std::string& path) const {
    const FileEntry& wanted = entry(path);
    const Descriptor opened = open_beneath(root_, path, remedy_);
    check_size(path, status_of(opened).st_size, wanted);
    std::string data = read_up_to(opened, static_cast<std::size_t>(wanted.size) + 1, place(path));
    check_size(path, static_cast<std::int64_t>(data.size()), wanted);
    check_hash(path, sha256(data), wanted);
    return data;
}

void VerifiedFiles::chunks(const std::string& path, std::size_t size, const Take& take) const {
    const FileEntry& wanted = entry(path);
    const Descriptor opened = open_beneath(root_, path, remedy_);
    check_size(path, status_of(opened).st_size, wanted);
    Sha256 digest;
    std::int64_t total = 0;
    while (total < wanted.size) {
        const auto left = static_cast<std::size_t>(wanted.size - total);
        const std::string chunk = read_up_to(opened, std::min(size, left), place(path));
        if (chunk.empty()) break;
        digest.update(chunk.data(), chunk.size());
        total += static_cast<std::int64_t>(chunk.size());
        take(chunk.data(), chunk.size());
    }
    check_size(path, total + static_cast<std::int64_t>(read_up_to(opened, 1, place(path)).size()), wanted);
    check_hash(path, digest.hexadecimal(), wanted);
}

bool VerifiedFiles::is_unchanged(const std::vector<std::string>& paths) const {
    return std::all_of(paths.begin(), paths.end(), [this](const std::string& path) {
        try {
            return is_checked(path, stamp(open_beneath(root_, path, remedy_)));
        } catch (const Failure&) {
            return false;
        }
    });
}

void VerifiedFiles::verify() const {
    for (const auto& [path, wanted] : entries_) file(path);
}

VerifiedFiles::Stamp VerifiedFiles::stamp(const Descriptor& file) {
    const struct stat status = status_of(file);
    return {static_cast<std::int64_t>(status.st_dev),
            static_cast<std::int64_t>(status.st_ino),
            status.st_size,
            status.st_mtim.tv_sec,
            status.st_mtim.tv_nsec,
            status.st_ctim.tv_sec,
            status.st_ctim.tv_nsec};
}

const FileEntry& VerifiedFiles::entry(const std::string& path) const {
    const auto found = entries_.find(path);
    if (found == entries_.end()) throw Failure(Status::integrity, place(path) + ": is not listed; " + remedy_);
    return found->second;
}

bool VerifiedFiles::is_checked(const std::string& path, const Stamp& stamp) const {
    const std::lock_guard lock(mutex_);
    const auto found = checked_.find(path);
    return found != checked_.end() && found->second == stamp;
}

void VerifiedFiles::check_size(const std::string& path, std::int64_t size, const FileEntry& wanted) const {
    if (size != wanted.size) {
        throw Failure(Status::integrity, place(path) + ": " + std::to_string(size) + " bytes instead of " +
                                             std::to_string(wanted.size) + "; " + remedy_);
    }
}

void VerifiedFiles::check_hash(const std::string& path, const std::string& digest, const FileEntry& wanted) const {
    if (digest != wanted.sha256) {
        throw Failure(Status::integrity,
                      place(path) + ": SHA-256 " + digest + " instead of " + wanted.sha256 + "; " + remedy_);
    }
}

std::string VerifiedFiles::place(const std::string& path) const { return root_.string() + "/" + path; }

}  // namespace aptp
