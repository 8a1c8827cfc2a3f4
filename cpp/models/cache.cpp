#include "models/cache.hpp"

#include <cerrno>
#include <system_error>
#include <utility>

#include "errors.hpp"
#include "files/lock.hpp"
#include "files/sha256.hpp"
#include "models/entry.hpp"

namespace aptp {

namespace fs = std::filesystem;

namespace {

constexpr const char* LOCKED =
    "another process builds this entry: wait for it to end, or name another folder with --cache";
constexpr double PATIENCE = 300;  // seconds that an entry may take others to build

std::string key_of(const Bundle& bundle, const ModelEntry& model) {
    const Table<FileEntry>& files = bundle.manifest().files;
    return sha256(files.find(*model.weights)->second.sha256 + " " + files.find(*model.serve)->second.sha256);
}

bool is_served_as_it_is(const ModelEntry& model) { return !model.serve || !model.weights; }

bool is_unwritable(const std::error_code& code) {
    return code.value() == EACCES || code.value() == EPERM || code.value() == EROFS;
}

[[noreturn]] void refuse(const Bundle& bundle, const ModelEntry& model, const fs::path& folder,
                         const std::error_code& code) {
    const Table<FileEntry>& files = bundle.manifest().files;
    const std::int64_t size = 2 * files.find(*model.weights)->second.size + files.find(*model.serve)->second.size;
    const bool is_full = code.value() == ENOSPC || code.value() == EDQUOT || code.value() == EFBIG;
    throw Failure(Status::cache, folder.string() + ": cannot be written, " +
                                     (is_full ? "the disk is full" : code.message()) + "; it needs " +
                                     std::to_string(size) + " bytes: free them, or name another folder with --cache");
}

}  // namespace

Cache::Cache(CacheOptions options)
    : options_(std::move(options)),
      is_default_(!options_.folder),
      root_(options_.folder ? fs::path(*options_.folder) : choose()) {
    check_folder(root_, options_.group_writable);
}

fs::path Cache::choose() const {
    const std::optional<fs::path> found = default_folder();
    if (!found) return private_folder("this user has no home folder for a cache", options_.warn);
    const std::optional<std::string> fault = find_fault(*found, options_.group_writable);
    return fault ? private_folder("the cache " + found->string() + " " + *fault, options_.warn) : *found;
}

fs::path Cache::serving_graph(const Bundle& bundle, const ModelEntry& model) {
    if (is_served_as_it_is(model)) return bundle.model(model).front();
    const std::string key = key_of(bundle, model);
    const std::lock_guard lock(mutex_);
    // The first look takes no lock: a finished cache may be read-only.
    if (damage(bundle, model, key)) make(bundle, model, key);
    return entries_.at(key)->root() / GRAPH;  // which may lie in the default that later gave way
}

bool Cache::is_unchanged(const Bundle& bundle, const ModelEntry& model) {
    if (is_served_as_it_is(model)) return bundle.files().is_unchanged(model.paths());
    const std::lock_guard lock(mutex_);
    const auto found = entries_.find(key_of(bundle, model));
    return found != entries_.end() && found->second->is_unchanged({GRAPH, DATA});
}

void Cache::make(const Bundle& bundle, const ModelEntry& model, const std::string& key) {
    try {
        publish(bundle, model, key);
        return;
    } catch (const std::system_error& error) {  // filesystem_error is one
        if (!is_default_ || !is_unwritable(error.code())) refuse(bundle, model, folder(key), error.code());
        root_ = private_folder("the cache " + root_.string() + " cannot be written, " + error.code().message(),
                               options_.warn);
        is_default_ = false;
    }
    try {
        publish(bundle, model, key);
    } catch (const std::system_error& error) {
        refuse(bundle, model, folder(key), error.code());
    }
}

void Cache::publish(const Bundle& bundle, const ModelEntry& model, const std::string& key) {
    const fs::path place = folder(key);
    for (const fs::path& each : {root_, place.parent_path()}) make_folder(each, options_.group_writable);
    check_folder(root_, options_.group_writable);
    const mode_t mode = options_.group_writable ? 0660 : 0600;
    const Lock held(fs::path(place.string() + ".lock"), LOCKED, PATIENCE, mode, options_.warn);
    const auto found = damage(bundle, model, key);
    if (!found) return;  // another process was faster
    if (fs::exists(place) && options_.warn) {
        options_.warn("the cache entry " + place.string() + " is damaged and is built again: " + *found);
    }
    entry::build(bundle, model, place, options_.group_writable);
    if (const auto reason = damage(bundle, model, key)) {
        throw Failure(Status::cache, place.string() + ": does not keep what is written to it: " + *reason);
    }
}

// Why the entry cannot be used, or nothing. Checked before and unchanged since, it is not read again.
std::optional<std::string> Cache::damage(const Bundle& bundle, const ModelEntry& model, const std::string& key) {
    auto& entry = entries_[key];
    if (entry == nullptr) {
        const Table<FileEntry>& files = bundle.manifest().files;
        entry = std::make_unique<UnpackedFiles>(folder(key), files.find(*model.serve)->second,
                                                files.find(*model.weights)->second, "the cache entry is damaged");
    }
    try {
        entry->verify();
    } catch (const Failure& failure) {
        const std::string reason = failure.what();
        entries_.erase(key);
        return reason;
    }
    return std::nullopt;
}

}  // namespace aptp
