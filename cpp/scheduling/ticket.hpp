// What the scheduler keeps of a request, and what it asks of the work behind it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace aptp {

// An engine specialised to what it serves, numbered by whoever knows engines: who needs the same key can share a call.
using Key = std::uint64_t;

inline bool is_in(const std::vector<Key>& keys, Key key) {
    return std::find(keys.begin(), keys.end(), key) != keys.end();
}

// Seconds of the scheduler's clock, which never jumps.
using Seconds = double;

// Work that takes one call after another on engines. Asked once it is prepared and after each of its calls, under the
// lock of whoever drives the scheduler, and never while a call is made.
class SchedulerTask {
public:
    virtual ~SchedulerTask() = default;

    // The engine of the next call. Not asked of what has ended.
    virtual Key need() const = 0;

    // The engine that follows the one needed now, where it is another.
    virtual std::optional<Key> upcoming() const = 0;

    // Whether no call is left to be made.
    virtual bool ended() const = 0;
};

// Where a request is on its way.
enum class State { queued, preparing, running, ended };

// How a request ended.
enum class End { finished, failed, cancelled, expired };

// Lower goes first: when it came, priority counted in, then its number.
using Rank = std::pair<Seconds, std::uint64_t>;

// An admitted request. Only its scheduler writes to it.
struct Ticket {
    std::shared_ptr<SchedulerTask> task;
    Rank rank;
    std::optional<Seconds> deadline;
    State state = State::queued;
    std::optional<End> end;
    Key need = 0;  // the task's, when it was last asked
    std::optional<Key> upcoming;
};

using TicketPtr = std::shared_ptr<Ticket>;

}  // namespace aptp
