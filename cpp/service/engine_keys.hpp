// Engines of opened bundles, each with a number that the scheduler knows it by.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>

#include "models/models.hpp"
#include "scheduling/capacity.hpp"
#include "scheduling/ticket.hpp"

namespace aptp {

// An engine of one opened bundle. Two versions of a bundle share none. It keeps no version alive.
struct EngineKey {
    std::weak_ptr<Models> models;
    ShapeBucket bucket;
    std::int64_t batch = 1;  // how many requests its arrays take
    std::uint64_t cost = 0;  // bytes of its weights

    // Whether this is the decoder, and no expert.
    bool decodes() const { return bucket.model == DECODER; }

    // Whether it is one of these models, which may be gone.
    bool is_of(const std::weak_ptr<Models>& version) const {
        return !models.owner_before(version) && !version.owner_before(models);
    }
};

// Numbers engine keys, never one twice. Any thread may use it.
class EngineKeys {
public:
    // The number of an engine of these models.
    Key key(const std::shared_ptr<Models>& models, const ShapeBucket& bucket);

    // The engine of a number; null where its models are gone.
    std::shared_ptr<const EngineKey> at(Key key) const;

    // How many may share a call on an engine now.
    std::int64_t capacity_of(Key key) const;

    // Learn from a call that `count` requests shared, which have one or two of its `rows` each.
    void called(Key key, std::int64_t count, std::int64_t rows, Seconds seconds) {
        capacity_.called(key, count, rows, seconds);
    }

private:
    void forget_gone();

    mutable std::mutex mutex_;
    Key numbered_ = 0;
    std::map<Key, std::shared_ptr<const EngineKey>> engines_;
    Capacity capacity_;
};

}  // namespace aptp
