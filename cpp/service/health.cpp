#include "service/health.hpp"

namespace aptp {

void Health::worked(const Patient& expert) {
    const std::lock_guard lock(mutex_);
    records_.erase(expert);
}

void Health::failed(const Patient& expert, Seconds now) {
    const std::lock_guard lock(mutex_);
    Record& record = records_[expert];
    ++record.failures;
    if (record.failures >= failures_) record.until = now + seconds_;
}

void Health::forget(const void* models) {
    const std::lock_guard lock(mutex_);
    for (auto each = records_.begin(); each != records_.end();) {
        each = each->first.first == models ? records_.erase(each) : std::next(each);
    }
}

bool Health::quarantined(const Patient& expert, Seconds now) const {
    const std::lock_guard lock(mutex_);
    const auto record = records_.find(expert);
    return record != records_.end() && record->second.until && *record->second.until > now;
}

}  // namespace aptp
