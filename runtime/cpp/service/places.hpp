// Engines of opened bundles, each with a number that the scheduler knows it by.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <tuple>

#include "models/models.hpp"
#include "scheduling/capacity.hpp"
#include "scheduling/ticket.hpp"

namespace aptp {

// An engine of one opened bundle. Two versions of a bundle share none. It keeps no version alive.
struct Place {
    const Models* version = nullptr;  // which, to compare
    std::weak_ptr<Models> models;
    Bucket bucket;
    std::int64_t batch = 1;  // how many requests its arrays take
    std::uint64_t cost = 0;  // bytes of its weights

    // Whether this is the decoder, and no expert.
    bool decodes() const { return bucket.model == DECODER; }
};

// Numbers places, never one twice. Any thread may use it.
class Places {
public:
    // The number of an engine of these models.
    Key key(const std::shared_ptr<Models>& models, const Bucket& bucket);

    // The place of a number that was given.
    std::shared_ptr<const Place> at(Key key) const;

    // Drop the places of models that are gone.
    void forget_gone();

    // How many may share a call, as far as calls have shown.
    Capacity capacity;

private:
    mutable std::mutex mutex_;
    Key numbered_ = 0;
    std::map<Key, std::shared_ptr<const Place>> places_;
    std::map<std::pair<const Models*, Bucket>, Key> keys_;
};

}  // namespace aptp
