#include "scheduling/memory.hpp"

#include <algorithm>
#include <cassert>

namespace aptp {

std::uint64_t MemoryBudget::used() const {
    std::uint64_t total = opening_ ? cost_(*opening_) : 0;
    for (const Stay& stay : resident_) total += stay.cost;
    return total;
}

bool MemoryBudget::contains(Key key) const { return find(key) != resident_.end(); }

std::vector<Key> MemoryBudget::keys() const {
    std::vector<Key> keys;
    for (const Stay& stay : resident_) keys.push_back(stay.key);
    return keys;
}

bool MemoryBudget::holds(const std::function<bool(Key)>& which) const {
    return (opening_ && which(*opening_)) ||
           std::any_of(resident_.begin(), resident_.end(), [&](const Stay& stay) { return which(stay.key); });
}

std::optional<std::vector<Key>> MemoryBudget::victims(Key key, const std::vector<Key>& busy, bool ahead) const {
    // Signed: what is short may be less than nothing.
    auto missing = static_cast<std::int64_t>(used() + cost_(key)) - static_cast<std::int64_t>(budget_);
    std::vector<Key> found;
    const auto take = [&](const Stay& stay) {
        if (missing <= 0) return;
        found.push_back(stay.key);
        missing -= static_cast<std::int64_t>(stay.cost);
    };
    for (const Stay& stay : resident_) {
        if (!is_in(busy, stay.key)) take(stay);
    }
    for (const Stay& stay : resident_) {
        // At least one call, even after opening in no time: two such engines would take turns at opening only.
        const bool had_its_turn = stay.ran > 0 && stay.ran >= TURN * stay.opening;
        if (!ahead && is_in(busy, stay.key) && had_its_turn) take(stay);
    }
    return missing <= 0 ? std::optional(found) : std::nullopt;
}

void MemoryBudget::start(Key key) {
    assert(!opening_ && "engines are opened one at a time");
    opening_ = key;
    assert(used() <= budget_ && "room was made for it");
}

void MemoryBudget::opened(Key key, Seconds seconds) {
    assert(opening_ == key);
    opening_.reset();
    resident_.push_back(Stay{key, cost_(key), seconds, 0});
}

void MemoryBudget::failed([[maybe_unused]] Key key) {
    assert(opening_ == key);
    opening_.reset();
}

void MemoryBudget::ran(Key key, Seconds seconds) {
    const auto stay = resident_.begin() + (find(key) - resident_.cbegin());
    assert(stay != resident_.end());
    stay->ran += seconds;
    std::rotate(stay, stay + 1, resident_.end());
}

void MemoryBudget::evict(Key key) { resident_.erase(find(key)); }

std::vector<MemoryBudget::Stay>::const_iterator MemoryBudget::find(Key key) const {
    return std::find_if(resident_.begin(), resident_.end(), [key](const Stay& stay) { return stay.key == key; });
}

}  // namespace aptp
