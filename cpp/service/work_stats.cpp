#include "service/work_stats.hpp"

#include <set>

namespace aptp {

void WorkStats::called(const Denoisings& denoisings, Seconds seconds) {
    const std::lock_guard lock(mutex_);
    std::set<std::string> counted;  // once for several of its own
    for (const auto& denoising : denoisings) {
        ExpertWork& work = experts_[denoising->expert()];
        if (counted.insert(denoising->expert()).second) ++work.calls;
        work.rows += static_cast<std::uint64_t>(denoising->rows());
        work.seconds += seconds / static_cast<Seconds>(denoisings.size());
    }
    last_call_ = {denoisings.front()->expert(), denoisings.size()};
}

void WorkStats::decoded(const std::string& expert) {
    const std::lock_guard lock(mutex_);
    ++experts_[expert].images;
}

ExpertWork WorkStats::of(const std::string& expert) const {
    const std::lock_guard lock(mutex_);
    const auto work = experts_.find(expert);
    return work == experts_.end() ? ExpertWork() : work->second;
}

std::pair<std::string, std::size_t> WorkStats::last_call() const {
    const std::lock_guard lock(mutex_);
    return last_call_;
}

}  // namespace aptp
