// What is done next: which request is prepared, which engine is opened, who shares the next call.
//
// A machine of states without threads, clocks or engines: callers say what time it is, and what became of the work they
// were given. At any moment one request is prepared, one engine opened and one call made, at most.
//
// Requests are served by rank, in groups that share a call: the group of the oldest request goes on until that is done,
// so that engines change seldom. A fuller group may go before an older one, but waiting is bounded: between two calls a
// group is passed over for younger ones at most `patience` times, and once more for every other engine in memory. An
// engine that is not there comes in the order of those who need it, each after the turn of one that has to go.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "scheduling/memory.hpp"
#include "scheduling/queue.hpp"
#include "scheduling/request_stats.hpp"
#include "scheduling/ticket.hpp"

namespace aptp {

// `running` requests share calls and `queued` ones wait (nothing: any number). `patience`: how often a group that could
// be fuller is passed over for younger ones. `advantage`: seconds that a step of priority is worth.
struct QueueLimits {
    std::int64_t running = 1;
    std::optional<std::int64_t> queued;
    std::int64_t patience = 4;
    Seconds advantage = 10.0;
};

// An engine to be opened; `victims` are to be let go first.
struct EngineOpening {
    Key key = 0;
    std::vector<Key> victims;
};

// Requests that share the next call on an engine.
struct CallGroup {
    Key key = 0;
    std::vector<TicketPtr> tickets;
};

// Decides for requests of one machine. `capacity` says how many may share a call on an engine. One thread at a time.
class Scheduler {
public:
    using Capacities = std::function<std::int64_t(Key)>;

    Scheduler(const QueueLimits& limits, MemoryBudget memory, Capacities capacity);

    const QueueLimits& limits() const noexcept { return limits_; }
    const MemoryBudget& memory() const noexcept { return memory_; }
    const RequestStats& counts() const noexcept { return counts_; }
    const Queue& queue() const noexcept { return queue_; }

    // Requests that have not ended.
    std::size_t size() const noexcept { return queue_.size() + running_.size(); }

    // Requests that have started and not ended, by rank.
    const std::vector<TicketPtr>& running() const noexcept { return running_; }

    // Refuse so many tasks together, unless `admit` would let all of them in now. Throws QueueFull.
    void check_room(std::int64_t count);

    // Let a task in. Throws QueueFull.
    TicketPtr admit(std::shared_ptr<SchedulerTask> task, int priority, std::optional<Seconds> deadline, Seconds now);

    // End a request that its owner takes back; false where it has ended already.
    bool cancel(const TicketPtr& ticket) { return end(ticket, End::cancelled); }

    // End a request that cannot go on; false where it has ended already.
    bool fail(const TicketPtr& ticket) { return end(ticket, End::failed); }

    // End the requests whose deadline has come; gives them.
    std::vector<TicketPtr> expire(Seconds now);

    // When `expire` will have something to do.
    std::optional<Seconds> next_deadline() const;

    // All requests that have not ended.
    std::vector<TicketPtr> tickets() const;

    // The request to be prepared now, if there is one and room to run it; else null.
    TicketPtr next_preparation();

    // Note that a request is prepared, or cannot be; false where it has ended meanwhile.
    bool prepared(const TicketPtr& ticket, bool failed = false);

    // The engine to be opened now: the first that is needed, or will be, and can be given room.
    std::optional<EngineOpening> next_opening();

    // Note that an engine is there, and how long that took.
    void opened(Key key, Seconds seconds) { memory_.opened(key, seconds); }

    // Note that an engine cannot be opened: whoever needs it now ends; gives them.
    std::vector<TicketPtr> not_opened(Key key);

    // Give up engines that are not in use; gives their keys.
    std::vector<Key> evict(const std::function<bool(Key)>& unwanted);

    // Who takes part in the call to be made now, if one is to be made.
    std::optional<CallGroup> next_call();

    // Note that the call was made, or failed; gives the requests that ended with it.
    std::vector<TicketPtr> called(Seconds seconds, Seconds now, bool failed = false);

private:
    // The group that an engine's next call would have: how many of the `most` that share one, and its oldest.
    struct Head {
        Key key;
        std::int64_t most;
        std::int64_t count;
        Rank oldest;
    };

    std::vector<TicketPtr> ready() const;
    std::vector<Head> heads() const;
    const Head& choose(const std::vector<Head>& heads) const;
    std::int64_t skipped(Key key) const;
    std::optional<EngineOpening> open(Key key, const std::vector<Key>& needs, bool ahead);
    bool end(const TicketPtr& ticket, End how);

    QueueLimits limits_;
    MemoryBudget memory_;
    RequestStats counts_;
    Queue queue_;
    Capacities capacity_;
    std::vector<TicketPtr> running_;  // by rank
    TicketPtr preparing_;
    std::optional<CallGroup> group_;
    std::vector<Key> leaving_;  // no more calls on them: they go when the running one is done
    bool settled_ = false;      // every engine that is needed, or will be, is known to be in memory
    std::vector<std::pair<Key, std::int64_t>>
        skipped_;  // how often an engine's group was passed over for a younger one
};

}  // namespace aptp
