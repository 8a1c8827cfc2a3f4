// Files derived from a bundle and kept outside it: graphs with float32 weights, for engines to map and share.
//
// The very cache of the Python runtime: same folder, same keys, same files. An entry is published by rename, and
// verified once before use; a damaged one is built again.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "bundle/reader.hpp"

namespace aptp {

// A cache folder. Any thread.
class Cache {
public:
    // By default `$XDG_CACHE_HOME/aptp`, or `~/.cache/aptp`. Throws Failure (cache) for a user without a home.
    explicit Cache(const std::optional<std::string>& folder);

    // The checked graph to serve `model` from: in float32 where that can be made here. Throws Failure (integrity,
    // cache).
    std::filesystem::path serving_graph(const Bundle& bundle, const ModelEntry& model);

    // Whether the files that `serving_graph` gave last are still the very ones that it checked.
    bool is_unchanged(const Bundle& bundle, const ModelEntry& model);

private:
    std::optional<std::string> damage(const std::string& key, const std::filesystem::path& folder);
    void publish(const Bundle& bundle, const ModelEntry& model, const std::string& key,
                 const std::filesystem::path& folder);

    std::filesystem::path root_;
    std::mutex mutex_;  // over entries_, and one build at a time
    std::map<std::string, std::unique_ptr<VerifiedFiles>> entries_;
};

}  // namespace aptp
