#include "service/supervised_thread.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <exception>
#include <system_error>
#include <utility>

#include "errors.hpp"

namespace aptp {

namespace {

constexpr std::chrono::milliseconds GLANCE{500};  // between two looks at a thread that is waited for

}  // namespace

Seconds steady_seconds() {
    return std::chrono::duration<Seconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

SupervisedThread::SupervisedThread(std::string name, std::function<void()> body, Died died, Clock clock)
    : name_(std::move(name)), body_(std::move(body)), died_(std::move(died)), clock_(std::move(clock)) {}

void SupervisedThread::start() {
    ended_ = false;  // there is no other thread yet
    begun_ = NONE;
    try {
        thread_ = std::thread([this] { run(); });
    } catch (const std::system_error&) {
        ended_ = true;
        throw Failure(Status::unavailable,
                      "the system gives this process no more threads; raise the limit of processes (RLIMIT_NPROC, or "
                      "pids.max of its container), and try again");
    }
}

std::optional<Seconds> SupervisedThread::stuck() const {
    const Seconds begun = begun_;
    const Seconds longest = longest_;
    if (std::isnan(begun)) return std::nullopt;
    const Seconds seconds = clock_() - begun;
    const Seconds patience = std::isnan(longest) ? FIRST : std::max(LEAST, TIMES * longest);
    return seconds > patience ? std::optional(seconds) : std::nullopt;
}

bool SupervisedThread::join() {
    {
        std::unique_lock lock(mutex_);
        while (!changed_.wait_for(lock, GLANCE, [this] { return ended_; })) {
            if (stuck()) return false;
        }
    }
    join_for_good();
    return true;
}

void SupervisedThread::join_for_good() {
    if (thread_.joinable()) thread_.join();
}

void SupervisedThread::begin() { begun_ = clock_(); }

void SupervisedThread::done() {
    const Seconds took = clock_() - begun_;
    const Seconds longest = longest_;
    longest_ = std::isnan(longest) ? took : std::max(longest, took);
    begun_ = NONE;
}

void SupervisedThread::run() {
    try {
        body_();
    } catch (const std::exception& error) {  // nobody does its work any more, whatever this was
        died_(name_, std::string("an exception: ") + error.what());
    } catch (...) {
        died_(name_, "what is no exception");
    }
    const std::lock_guard lock(mutex_);
    ended_ = true;
    changed_.notify_all();
}

}  // namespace aptp
