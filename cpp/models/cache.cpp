#include "models/cache.hpp"

#include <fcntl.h>
#include <pwd.h>
#include <sys/file.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <system_error>

#include "files/strict_json.hpp"
#include "files/sha256.hpp"
#include "errors.hpp"
#include "models/entry.hpp"

namespace aptp {

namespace fs = std::filesystem;

namespace {

// Where this user is at home: what HOME says, else the user database.
fs::path home() {
    const char* named = std::getenv("HOME");
    if (named != nullptr && *named != '\0') return named;
    std::array<char, 16384> room{};
    passwd entry{};
    passwd* found = nullptr;
    getpwuid_r(::getuid(), &entry, room.data(), room.size(), &found);
    if (found == nullptr || *found->pw_dir == '\0') {
        throw Failure(Status::cache, "this user has no home folder; name a folder for the cache");
    }
    return found->pw_dir;
}

fs::path default_folder() {
    const char* base = std::getenv("XDG_CACHE_HOME");
    return (base != nullptr && *base != '\0' ? fs::path(base) : home() / ".cache") / "aptp";
}

std::string key_of(const Bundle& bundle, const ModelEntry& model) {
    const Table<FileEntry>& files = bundle.manifest().files;
    return sha256(files.find(*model.weights)->second.sha256 + " " + files.find(*model.serve)->second.sha256);
}

bool is_served_as_it_is(const ModelEntry& model) { return !model.serve || !model.weights; }

// The files that an entry's record lists. Throws Failure (manifest) if the record is missing or wrong.
std::unique_ptr<VerifiedFiles> recorded(const fs::path& folder) {
    const fs::path place = folder / entry::RECORD;
    std::ifstream file(place, std::ios::binary);
    if (!file) throw Failure(Status::manifest, place.string() + ": " + std::strerror(errno));
    const std::string data{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    const Json document = decode(data, entry::RECORD);
    Fields fields(document, entry::RECORD);
    Table<FileEntry> files;
    for (const char* name : {entry::GRAPH, entry::DATA}) {
        Fields listed = fields.fields(name);
        const std::int64_t size = listed.integer("size");
        files[name] = {size, listed.text("sha256")};
    }
    return std::make_unique<VerifiedFiles>(folder, std::move(files), "the cache entry is damaged");
}

// An entry's lock; the system lets go of it when the process ends, however it ends.
class Lock {
public:
    explicit Lock(const fs::path& path) : file_(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666)) {
        if (file_.number() < 0) throw std::system_error(errno, std::generic_category());
        while (::flock(file_.number(), LOCK_EX) != 0) {
            if (errno != EINTR) throw std::system_error(errno, std::generic_category());
        }
    }

private:
    Descriptor file_;
};

[[noreturn]] void refuse(const fs::path& folder, const std::error_code& code, std::int64_t size) {
    const bool is_full = code.value() == ENOSPC || code.value() == EDQUOT || code.value() == EFBIG;
    throw Failure(Status::cache, folder.string() + ": cannot be written, " +
                                     (is_full ? "the disk is full" : code.message()) + "; it needs " +
                                     std::to_string(size) + " bytes: free them, or name another folder for the cache");
}

}  // namespace

Cache::Cache(const std::optional<std::string>& folder) : root_(folder ? fs::path(*folder) : default_folder()) {}

fs::path Cache::serving_graph(const Bundle& bundle, const ModelEntry& model) {
    if (is_served_as_it_is(model)) return bundle.model(model).front();
    const std::string key = key_of(bundle, model);
    const fs::path folder = root_ / "serve" / key;
    const std::lock_guard lock(mutex_);
    // The first look takes no lock: a finished cache may be read-only.
    if (damage(key, folder)) {
        const Table<FileEntry>& files = bundle.manifest().files;
        const std::int64_t size = 2 * files.find(*model.weights)->second.size + files.find(*model.serve)->second.size;
        try {
            fs::create_directories(folder.parent_path());
            const Lock held(fs::path(folder.string() + ".lock"));
            publish(bundle, model, key, folder);
        } catch (const std::system_error& error) {  // filesystem_error is one
            refuse(folder, error.code(), size);
        }
    }
    return folder / entry::GRAPH;
}

bool Cache::is_unchanged(const Bundle& bundle, const ModelEntry& model) {
    if (is_served_as_it_is(model)) return bundle.files().is_unchanged(model.paths());
    const std::lock_guard lock(mutex_);
    const auto found = entries_.find(key_of(bundle, model));
    return found != entries_.end() && found->second->is_unchanged({entry::GRAPH, entry::DATA});
}

void Cache::publish(const Bundle& bundle, const ModelEntry& model, const std::string& key, const fs::path& folder) {
    if (!damage(key, folder)) return;  // another process was faster
    entry::build(bundle, model, folder);
    if (const auto reason = damage(key, folder)) {
        throw Failure(Status::cache, folder.string() + ": does not keep what is written to it: " + *reason);
    }
}

// Why the entry cannot be used, or nothing. Checked before and unchanged since, it is not read again.
std::optional<std::string> Cache::damage(const std::string& key, const fs::path& folder) {
    try {
        auto& entry = entries_[key];
        if (entry == nullptr) entry = recorded(folder);
        entry->verify();
    } catch (const Failure& failure) {
        entries_.erase(key);
        return failure.what();
    }
    return std::nullopt;
}

}  // namespace aptp
