// Files derived from a bundle and kept outside it: graphs with float32 weights, for engines to map and share.
//
// The very cache of the Python runtime: same folder, same keys, same files. An entry is published by rename, and
// checked against the bundle's manifest once before use; a damaged or forged one is built again.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "bundle/reader.hpp"
#include "files/cache_folder.hpp"
#include "models/unpacked.hpp"

namespace aptp {

// Where derived files go: by default `$XDG_CACHE_HOME/aptp`, or `~/.cache/aptp`. The folder has to be this user's or
// root's, and writable by no other user; `group_writable` trusts its group. `warn` hears of what was survived.
struct CacheOptions {
    std::optional<std::string> folder;
    bool group_writable = false;
    Warn warn;
};

// A cache folder. Any thread.
class Cache {
public:
    // Throws Failure (cache) for a folder that breaks the rule; the default gives way to a private one.
    explicit Cache(CacheOptions options);

    // The checked graph to serve `model` from: in float32 where that can be made here. Throws Failure (integrity,
    // cache).
    std::filesystem::path serving_graph(const Bundle& bundle, const ModelEntry& model);

    // Whether the files that `serving_graph` gave last are still the very ones that it checked.
    bool is_unchanged(const Bundle& bundle, const ModelEntry& model);

private:
    std::filesystem::path choose() const;
    std::filesystem::path folder(const std::string& key) const { return root_ / "serve" / key; }
    void make(const Bundle& bundle, const ModelEntry& model, const std::string& key);
    void publish(const Bundle& bundle, const ModelEntry& model, const std::string& key);
    std::optional<std::string> damage(const Bundle& bundle, const ModelEntry& model, const std::string& key);

    CacheOptions options_;
    bool is_default_;
    std::mutex mutex_;  // over what follows, and one build at a time
    std::filesystem::path root_;
    std::map<std::string, std::unique_ptr<UnpackedFiles>> entries_;
};

}  // namespace aptp
