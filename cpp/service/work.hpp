// What a dispatcher needs of its work, and of whoever does it.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "scheduling/ticket.hpp"
#include "service/events.hpp"
#include "service/mailbox.hpp"

namespace aptp {

// A task that hears how it goes. None of these may throw.
class Work : public SchedulerTask {
public:
    // What there is to tell now that it is prepared.
    virtual Event started() = 0;

    // What there is to tell after a call that did not end it, if anything.
    virtual std::optional<Event> step() = 0;

    // What there is to tell now that it has ended with a result.
    virtual Event finished() = 0;

    // It is told of an event: in order, never in two threads at once, of nothing after its end, and no lock is held.
    virtual void hear(const Event& event) = 0;

private:
    friend class Dispatcher;
    Mailbox mailbox_;
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

    // Engines were let go of, and no others come in their place. From any thread. Must not throw.
    virtual void closed() {}
};

}  // namespace aptp
