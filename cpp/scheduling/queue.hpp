// Who is let in, and who of those waiting goes first.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "scheduling/ticket.hpp"

namespace aptp {

// Requests that have not started, at most `most` (nothing: as many as come). A request of priority p goes as if it had
// come p times `advantage` seconds earlier: nobody waits forever.
class Queue {
public:
    Queue(std::optional<std::int64_t> most, Seconds advantage) : most_(most), advantage_(advantage) {}

    std::size_t size() const noexcept { return waiting_; }

    // Refuse so many where not as many places are free, here and of the `free` ones to run. Throws QueueFull.
    void check_room(std::int64_t count, std::int64_t free, Seconds retry_after) const;

    // A ticket for a task that is let in.
    TicketPtr add(std::shared_ptr<SchedulerTask> task, int priority, std::optional<Seconds> deadline, Seconds now);

    // The next one to start, or nothing. It has left the queue.
    TicketPtr pop();

    // Count one out that is cancelled or expires now; its place in line is cleared when it is due.
    void leave(const TicketPtr& ticket);

    // All that wait, in no order.
    std::vector<TicketPtr> tickets() const;

private:
    std::optional<std::int64_t> most_;
    Seconds advantage_;
    std::vector<TicketPtr> heap_;  // also holds some that have left
    std::size_t waiting_ = 0;
    std::uint64_t numbered_ = 0;
};

}  // namespace aptp
