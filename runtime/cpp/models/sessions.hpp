// Opening what a bundle holds: what an engine has opened is what was checked, or it is refused.
#pragma once

#include <memory>
#include <optional>

#include "bundle/bundle.hpp"
#include "engines/engine.hpp"
#include "engines/session.hpp"
#include "models/cache.hpp"

namespace aptp {

// Opens a bundle's models from its files or the cache's. Any thread.
class Sessions {
public:
    // `threads` are those of one call.
    Sessions(std::shared_ptr<const Bundle> bundle, const std::optional<std::string>& cache,
             std::optional<std::int64_t> threads);

    // A graph, from exactly the bytes that were checked; the settings' threads are ours. Throws Failure (integrity,
    // cache, engine).
    std::unique_ptr<Session> open(const ModelEntry& model, SessionSettings settings = {});

    // A compiled engine, likewise. Throws Failure (integrity, environment, engine).
    std::unique_ptr<Engine> open(const CompiledEntry& entry);

private:
    std::shared_ptr<const Bundle> bundle_;
    Cache cache_;
    std::optional<std::int64_t> threads_;
};

}  // namespace aptp
