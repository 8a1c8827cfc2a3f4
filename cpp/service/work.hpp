// What a dispatcher needs of its work, and of whoever does it.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <vector>

#include "scheduling/ticket.hpp"
#include "service/events.hpp"

namespace aptp {

// A task that hears how it goes, never in two threads at once, and nothing after its end. These must not throw.
class Work : public SchedulerTask {
public:
    // It was let in, behind so many that have not started.
    virtual void on_queued(std::size_t ahead) = 0;

    // It is prepared.
    virtual void on_started() = 0;

    // A call was made that did not end it.
    virtual void on_step() = 0;

    // It has ended with a result.
    virtual void on_finished() = 0;

    // It has ended without one.
    virtual void on_failed(const Failed& why) = 0;

private:
    friend class Dispatcher;
    std::recursive_mutex telling_;  // held while it is told of anything, which may take it back from within
    bool over_ = false;             // it was told of its end
};

// What serves the calls of a key.
class Opened {
public:
    virtual ~Opened() = default;
};

// Does what is handed out. Each method is called by one thread at a time, different ones at once; all may throw.
class Handler {
public:
    virtual ~Handler() = default;

    // Make it ready for its first call.
    virtual void prepare(Work& work) = 0;

    // The engine of a key.
    virtual std::unique_ptr<Opened> open(Key key) = 0;

    // The next call of each: it is one further, or has ended.
    virtual void call(Key key, Opened& engine, const std::vector<Work*>& works) = 0;

    // Let go of an engine. From any thread. Must not throw.
    virtual void close(Key key, std::unique_ptr<Opened> engine) = 0;
};

}  // namespace aptp
