#include "scheduling/capacity.hpp"

#include <algorithm>
#include <limits>

namespace aptp {

void Capacity::called(Key key, std::int64_t count, std::int64_t rows, Seconds seconds) {
    const std::lock_guard lock(mutex_);
    const Seconds each = seconds / static_cast<Seconds>(rows);
    Pace& pace = paces_[key][count];
    pace.least = pace.calls == 0 ? each : std::min(pace.least, each);
    ++pace.calls;
}

std::int64_t Capacity::of(Key key, std::int64_t most) const {
    const std::lock_guard lock(mutex_);
    const auto paces = paces_.find(key);
    if (paces == paces_.end()) return most;
    const auto is_known = [this](const Pace& pace) { return pace.calls >= samples_; };
    for (const std::int64_t count : {std::int64_t{1}, most}) {
        const auto pace = paces->second.find(count);
        if (pace == paces->second.end() || !is_known(pace->second)) return most;
    }
    Seconds best = std::numeric_limits<Seconds>::infinity();
    for (const auto& [count, pace] : paces->second) {
        if (is_known(pace)) best = std::min(best, pace.least);
    }
    const Seconds enough = best * (1 + worth_);
    for (const auto& [count, pace] : paces->second) {  // the smallest first
        if (is_known(pace) && pace.least <= enough) return count;
    }
    return most;
}

void Capacity::forget(Key key) {
    const std::lock_guard lock(mutex_);
    paces_.erase(key);
}

}  // namespace aptp
