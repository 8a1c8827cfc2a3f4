#include "service/engine_keys.hpp"

#include <utility>

namespace aptp {

Key Places::key(const std::shared_ptr<Models>& models, const Bucket& bucket) {
    const std::lock_guard lock(mutex_);
    for (const auto& [key, place] : places_) {  // a handful
        if (place->bucket == bucket && place->is_of(models)) return key;
    }
    forget_gone();
    const std::int64_t batch = bucket.model == DECODER ? 1 : models->batch();
    const auto cost = static_cast<std::uint64_t>(models->cost(bucket));
    places_.emplace(++numbered_, std::make_shared<Place>(Place{models, bucket, batch, cost}));
    return numbered_;
}

std::shared_ptr<const Place> Places::at(Key key) const {
    const std::lock_guard lock(mutex_);
    const auto place = places_.find(key);
    return place == places_.end() ? nullptr : place->second;
}

std::int64_t Places::capacity_of(Key key) const {
    const auto place = at(key);
    return place ? capacity_.of(key, place->batch) : 1;
}

void Places::forget_gone() {
    for (auto place = places_.begin(); place != places_.end();) {
        if (place->second->models.expired()) {
            capacity_.forget(place->first);
            place = places_.erase(place);
        } else {
            ++place;
        }
    }
}

}  // namespace aptp
