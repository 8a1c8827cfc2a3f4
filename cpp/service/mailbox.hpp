// The events of one request on their way to its listener.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>

#include "service/events.hpp"

namespace aptp {

// Tells one listener of events in order, never in two threads at once, and of nothing after the end. No lock is held
// while the listener hears: it may post more, here and to other mailboxes. Whoever posts tells the listener, unless
// another thread does so already, or an outer call of the same one: that one tells of this event too, afterwards.
class Mailbox {
public:
    using Hear = std::function<void(const Event&)>;

    // Tell of `first` before all else, and of what was posted until that was heard. Until this has happened, what
    // others post waits. Once.
    void open(const Event& first, const Hear& hear);

    // Wait until the first event was told.
    void wait_opened();

    // Tell of an event, now or by the thread that tells of another.
    void post(Event event, const Hear& hear);

private:
    void tell(const Hear& hear);

    std::mutex mutex_;  // over all that follows
    std::condition_variable changed_;
    std::deque<Event> events_;
    bool opened_ = false;
    bool telling_ = true;  // a thread tells, or will
    bool over_ = false;    // the end was posted
};

}  // namespace aptp
