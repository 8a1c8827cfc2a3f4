#include "service/engine_keys.hpp"

#include <utility>

namespace aptp {

Key EngineKeys::key(const std::shared_ptr<Models>& models, const ShapeBucket& bucket) {
    const std::lock_guard lock(mutex_);
    for (const auto& [key, engine] : engines_) {  // a handful
        if (engine->bucket == bucket && engine->is_of(models)) return key;
    }
    forget_gone();
    const std::int64_t batch = bucket.model == DECODER ? 1 : models->batch();
    const auto cost = static_cast<std::uint64_t>(models->cost(bucket));
    engines_.emplace(++numbered_, std::make_shared<EngineKey>(EngineKey{models, bucket, batch, cost}));
    return numbered_;
}

std::shared_ptr<const EngineKey> EngineKeys::at(Key key) const {
    const std::lock_guard lock(mutex_);
    const auto engine = engines_.find(key);
    return engine == engines_.end() ? nullptr : engine->second;
}

std::int64_t EngineKeys::capacity_of(Key key) const {
    const auto engine = at(key);
    return engine ? capacity_.of(key, engine->batch) : 1;
}

void EngineKeys::forget_gone() {
    for (auto engine = engines_.begin(); engine != engines_.end();) {
        if (engine->second->models.expired()) {
            capacity_.forget(engine->first);
            engine = engines_.erase(engine);
        } else {
            ++engine;
        }
    }
}

}  // namespace aptp
