// A thread whose end or standstill does not go unheard.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <limits>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "scheduling/ticket.hpp"

namespace aptp {

// Seconds that never jump.
using Clock = std::function<Seconds()>;

// The machine's own.
Seconds steady_seconds();

// A piece of work may take so many times as long as the longest before it, and at least so many seconds; the first
// one, which may unpack or compile, takes its time. Nothing that works is that slow: not on half a core.
inline constexpr double TIMES = 100;
inline constexpr Seconds LEAST = 300;
inline constexpr Seconds FIRST = 1800;

// A thread that runs `body` to its end. `died` hears of what it threw instead, in that thread, and must not throw.
class SupervisedThread {
public:
    using Died = std::function<void(const std::string& name, const std::string& what)>;

    SupervisedThread(std::string name, std::function<void()> body, Died died, Clock clock);

    SupervisedThread(const SupervisedThread&) = delete;
    SupervisedThread& operator=(const SupervisedThread&) = delete;

    const std::string& name() const noexcept { return name_; }

    // Begin, also after an end that was waited for. Throws Failure (unavailable) where the system gives no thread.
    void start();

    // The seconds that it has been in one piece of work, where that is more than work takes. Any thread.
    std::optional<Seconds> stuck() const;

    // Wait for its end, unless it is stuck; whether it has ended. Not from the thread itself.
    bool join();

    // Wait for its end, also where it is stuck. It must have ended before this is destroyed.
    void join_for_good();

protected:
    // A piece of work begins, and is done.
    void begin();
    void done();

private:
    static constexpr Seconds NONE = std::numeric_limits<Seconds>::quiet_NaN();

    void run();

    const std::string name_;
    const std::function<void()> body_;
    const Died died_;
    const Clock clock_;
    std::atomic<Seconds> begun_ = NONE;    // when, where it is in a piece of work
    std::atomic<Seconds> longest_ = NONE;  // of all pieces so far
    std::mutex mutex_;
    std::condition_variable changed_;
    bool ended_ = true;
    std::thread thread_;
};

}  // namespace aptp
