// All threads of a service: they start together, or not at all; `trouble` says why they do not serve.
#pragma once

#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "service/supervised_thread.hpp"

namespace aptp {

// Watches threads that outlive it. Any thread may call anything.
class Supervisor {
public:
    explicit Supervisor(std::vector<const SupervisedThread*> threads) : threads_(std::move(threads)) {}

    // Start them all by `start`; where one is not to be had, `stop` those that run. Throws Failure (unavailable).
    void start(const std::function<void()>& start, const std::function<void()>& stop);

    // Why nobody is served now: the system gave no thread, until it does; a thread died, for good, or is stuck, until
    // it comes back. Else nothing.
    std::optional<std::string> trouble() const;

    // Hear that a thread died; gives what there is to say of that.
    std::string died(const std::string& name, const std::string& what);

    // Why a request may not be let in: as `trouble`, but threads that did not start may start now.
    std::optional<std::string> refusal() const;

private:
    std::optional<std::string> standstill() const;

    const std::vector<const SupervisedThread*> threads_;
    mutable std::mutex mutex_;  // over what follows
    std::string death_;
    std::string scarcity_;
};

}  // namespace aptp
