#include "service/mailbox.hpp"

#include <optional>
#include <utility>

namespace aptp {

void Mailbox::open(const Event& first, const Hear& hear) {
    hear(first);
    {
        const std::lock_guard lock(mutex_);
        opened_ = true;
        // Decided with the lock held: whoever waited for the opening tells what it posts, and this thread is free.
        telling_ = !events_.empty();
        changed_.notify_all();
        if (!telling_) return;
    }
    tell(hear);
}

void Mailbox::wait_opened() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return opened_; });
}

void Mailbox::post(Event event, const Hear& hear) {
    {
        const std::lock_guard lock(mutex_);
        if (over_) return;
        over_ = is_end(event);
        events_.push_back(std::move(event));
        if (std::exchange(telling_, true)) return;
    }
    tell(hear);
}

void Mailbox::tell(const Hear& hear) {
    while (true) {
        std::optional<Event> event;
        {
            const std::lock_guard lock(mutex_);
            telling_ = !events_.empty();
            if (!telling_) return;
            event = std::move(events_.front());
            events_.pop_front();
        }
        try {
            hear(*event);
        } catch (...) {  // it ends the thread; others tell of what follows
            const std::lock_guard lock(mutex_);
            telling_ = false;
            throw;
        }
    }
}

}  // namespace aptp
