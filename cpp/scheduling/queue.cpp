#include "scheduling/queue.hpp"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <string>

#include "errors.hpp"

namespace aptp {

namespace {

// Heaps of the standard library have their greatest at the front: here, that of the lowest rank.
bool goes_after(const TicketPtr& one, const TicketPtr& other) { return one->rank > other->rank; }

}  // namespace

void Queue::check_room(std::int64_t count, std::int64_t free, Seconds retry_after) const {
    // Without a sum, which could be beyond the largest number: limits may be as large as that.
    const auto waiting = static_cast<std::int64_t>(waiting_);
    const std::int64_t last = waiting + count - 1;  // those before the last of them
    if (!most_ || last < *most_ || last - *most_ < free) return;
    const std::string more = count == 1 ? "no more" : "not " + std::to_string(count) + " more";
    throw QueueFull(std::to_string(waiting_) + " requests are waiting, and " + more + " are let in; try again in " +
                        std::to_string(static_cast<std::int64_t>(std::ceil(retry_after))) + " s, or raise max_queued",
                    retry_after);
}

TicketPtr Queue::add(std::shared_ptr<SchedulerTask> task, int priority, std::optional<Seconds> deadline, Seconds now) {
    const auto ticket = std::make_shared<Ticket>();
    ticket->task = std::move(task);
    ticket->rank = {now - priority * advantage_, ++numbered_};
    ticket->deadline = deadline;
    heap_.push_back(ticket);
    std::push_heap(heap_.begin(), heap_.end(), goes_after);
    ++waiting_;
    return ticket;
}

TicketPtr Queue::pop() {
    while (!heap_.empty()) {
        std::pop_heap(heap_.begin(), heap_.end(), goes_after);
        const TicketPtr ticket = std::move(heap_.back());
        heap_.pop_back();
        if (ticket->state == State::queued) {
            --waiting_;
            return ticket;
        }
    }
    return nullptr;
}

void Queue::leave(const TicketPtr& ticket) {
    assert(ticket->state == State::queued);
    --waiting_;
    if (heap_.size() <= 2 * waiting_ + 16) return;
    // Those gone do not pile up.
    const auto gone = std::remove_if(heap_.begin(), heap_.end(), [&](const TicketPtr& each) {
        return each->state != State::queued || each == ticket;
    });
    heap_.erase(gone, heap_.end());
    std::make_heap(heap_.begin(), heap_.end(), goes_after);
}

std::vector<TicketPtr> Queue::tickets() const {
    std::vector<TicketPtr> waiting;
    for (const TicketPtr& ticket : heap_) {
        if (ticket->state == State::queued) waiting.push_back(ticket);
    }
    return waiting;
}

}  // namespace aptp
