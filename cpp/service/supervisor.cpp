#include "service/supervisor.hpp"

#include <cmath>

#include "errors.hpp"

namespace aptp {

void Supervisor::start(const std::function<void()>& start, const std::function<void()>& stop) {
    try {
        start();
    } catch (const Failure& failure) {
        stop();
        const std::lock_guard lock(mutex_);
        scarcity_ = failure.what();
        throw;
    }
    const std::lock_guard lock(mutex_);
    scarcity_.clear();
}

std::optional<std::string> Supervisor::trouble() const {
    {
        const std::lock_guard lock(mutex_);
        if (!death_.empty()) return death_;
        if (!scarcity_.empty()) return scarcity_;
    }
    return standstill();
}

std::optional<std::string> Supervisor::refusal() const {
    {
        const std::lock_guard lock(mutex_);
        if (!death_.empty()) return death_;
    }
    return standstill();
}

std::string Supervisor::died(const std::string& name, const std::string& what) {
    const std::lock_guard lock(mutex_);
    death_ =
        "the thread '" + name + "' of the runtime died of " + what + "; open the bundle again, or restart the process";
    return death_;
}

std::optional<std::string> Supervisor::standstill() const {
    for (const SupervisedThread* thread : threads_) {
        if (const auto seconds = thread->stuck()) {
            return "the thread '" + thread->name() + "' has not come back from one piece of work for " +
                   std::to_string(std::llround(*seconds)) + " s; restart the process if it does not recover";
        }
    }
    return std::nullopt;
}

}  // namespace aptp
