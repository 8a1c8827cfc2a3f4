// Opening what a bundle holds: what an engine has opened is what was checked, or it is refused.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bundle/reader.hpp"
#include "engines/engine.hpp"
#include "engines/graphs.hpp"
#include "engines/session.hpp"
#include "models/cache.hpp"

namespace aptp {

// Opens a bundle's models from its files or the cache's. Any thread.
class Sessions {
public:
    // `threads` are those of one call; `log`, which may be empty, hears what ONNX Runtime says.
    Sessions(std::shared_ptr<const Bundle> bundle, CacheOptions cache, std::optional<std::int64_t> threads,
             const Log& log = {});

    // A graph on the CPU provider, from exactly the bytes that were checked. Throws Failure (integrity, cache, engine),
    // as do those that follow, and Failure (environment).
    std::unique_ptr<Session> open(const ModelEntry& model);

    // A graph on an engine that runs graphs, likewise; the settings' threads and log are ours.
    std::unique_ptr<Graph> open_graph(const ModelEntry& model, GraphSettings settings);

    // A UNet that takes exactly `inputs`, likewise.
    std::unique_ptr<Engine> open_unet(const ModelEntry& model, GraphSettings settings,
                                      const std::vector<std::string>& inputs);

    // A compiled engine, likewise.
    std::unique_ptr<Engine> open(const CompiledEntry& entry);

private:
    template <typename Open>
    auto checked(const ModelEntry& model, Open open);

    std::shared_ptr<const Bundle> bundle_;
    Cache cache_;
    std::optional<std::int64_t> threads_;
    std::shared_ptr<const Log> log_;
};

}  // namespace aptp
