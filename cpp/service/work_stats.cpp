#include "service/work_stats.hpp"

#include <algorithm>
#include <cassert>

namespace aptp {

void Tally::called(const Requests& requests, const std::vector<std::string>& experts, Seconds seconds) {
    assert(requests.size() == experts.size());
    const std::lock_guard lock(mutex_);
    for (std::size_t index = 0; index < requests.size(); ++index) {
        Done& done = experts_[experts[index]];
        const auto place = experts.begin() + static_cast<std::ptrdiff_t>(index);
        if (std::find(experts.begin(), place, experts[index]) == place) ++done.calls;  // once for several of its own
        done.rows += static_cast<std::uint64_t>(requests[index]->rows());
        done.seconds += seconds / static_cast<Seconds>(requests.size());
    }
    last_call_ = {experts.front(), requests.size()};
}

void Tally::decoded(const std::string& expert) {
    const std::lock_guard lock(mutex_);
    ++experts_[expert].images;
}

Done Tally::of(const std::string& expert) const {
    const std::lock_guard lock(mutex_);
    const auto done = experts_.find(expert);
    return done == experts_.end() ? Done() : done->second;
}

std::pair<std::string, std::size_t> Tally::last_call() const {
    const std::lock_guard lock(mutex_);
    return last_call_;
}

}  // namespace aptp
