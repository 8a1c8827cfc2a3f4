// Files beneath a folder that are only handed out after their size and SHA-256 were checked.
//
// Refuses paths that could leave the folder, symbolic links at any component, and what is not a regular file. A check
// is remembered until the file's device, inode, size, mtime or ctime change.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "files/table.hpp"

namespace aptp {

inline constexpr std::size_t PATH_LENGTH = 255;

// What a file must be: `size` in bytes, `sha256` in lower-case hexadecimal.
struct FileEntry {
    std::int64_t size = 0;
    std::string sha256;
};

// `path` if it follows the format's path rule. Throws Failure (manifest).
const std::string& check_path(const std::string& path, const std::string& where);

// A file descriptor that closes itself.
class Descriptor {
public:
    explicit Descriptor(int number = -1) noexcept : number_(number) {}
    ~Descriptor();
    Descriptor(Descriptor&& other) noexcept : number_(other.number_) { other.number_ = -1; }
    Descriptor& operator=(Descriptor&& other) noexcept;
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;

    int number() const noexcept { return number_; }

private:
    int number_;
};

// The regular file `path` beneath `root`, open for reading; `remedy` ends every refusal. Throws Failure (manifest,
// integrity).
Descriptor open_beneath(const std::filesystem::path& root, const std::string& path, const std::string& remedy);

// At most `most` bytes from where `file` stands; `where` is what messages call it. Throws Failure (integrity).
std::string read_up_to(const Descriptor& file, std::size_t most, const std::string& where);

// The files that `entries` list, beneath `root`; `remedy` ends every refusal. Any thread may ask. Everything but
// is_unchanged throws Failure (integrity).
class VerifiedFiles {
public:
    VerifiedFiles(std::filesystem::path root, Table<FileEntry> entries, std::string remedy);
    virtual ~VerifiedFiles() = default;

    // The place of a file whose bytes were checked, now or earlier and unchanged since.
    std::filesystem::path file(const std::string& path) const;

    // A file's bytes; the very bytes returned are the ones that were checked.
    std::string read(const std::string& path) const;

    // A file's bytes in pieces of `size`, the last maybe smaller. A wrong file throws only after the last piece.
    using Take = std::function<void(const char* data, std::size_t size)>;
    void chunks(const std::string& path, std::size_t size, const Take& take) const;

    // Whether these files are still the very ones that `file` checked.
    bool is_unchanged(const std::vector<std::string>& paths) const;

    // Check every listed file.
    void verify() const;

    const std::filesystem::path& root() const noexcept { return root_; }
    const Table<FileEntry>& entries() const noexcept { return entries_; }

protected:
    // The SHA-256 that is compared with the entry of `path`: of the open file's bytes.
    virtual std::string digest(const std::string& path, const Descriptor& file) const;
    std::string place(const std::string& path) const;
    const std::string& remedy() const noexcept { return remedy_; }

private:
    using Stamp = std::array<std::int64_t, 7>;  // device, inode, size, then mtime and ctime with nanoseconds

    static Stamp stamp(const Descriptor& file);
    const FileEntry& entry(const std::string& path) const;
    bool is_checked(const std::string& path, const Stamp& stamp) const;
    void check_size(const std::string& path, std::int64_t size, const FileEntry& entry) const;
    void check_hash(const std::string& path, const std::string& digest, const FileEntry& entry) const;

    std::filesystem::path root_;
    Table<FileEntry> entries_;
    std::string remedy_;
    mutable std::mutex mutex_;  // over checked_
    mutable std::map<std::string, Stamp> checked_;
};

}  // namespace aptp
