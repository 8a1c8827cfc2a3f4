// The scheduler on threads: one prepares, one opens engines, one calls them, and one watches the time.
//
// Any thread may submit and cancel. Every request that was let in is told how it ended exactly once, by the thread that
// ended it or the one that tells it of something else, and no lock is held meanwhile.
//
// A thread that does not start, dies or is stuck takes nobody with it: whoever is in is told why at once (unavailable),
// and nobody is let in meanwhile.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "log.hpp"
#include "scheduling/scheduler.hpp"
#include "service/supervisor.hpp"
#include "service/work.hpp"
#include "service/worker_thread.hpp"

namespace aptp {

inline constexpr Seconds PULSE = 5;  // between two looks at the threads while there is work

// Work that is to be let in, and done within `seconds`.
struct Submission {
    std::shared_ptr<Work> work;
    int priority = 0;
    std::optional<Seconds> seconds;
};

// Runs what a scheduler decides. `handler` does the work, and must outlive it. Threads start with the first request.
class Dispatcher {
public:
    Dispatcher(Scheduler scheduler, Handler& handler, Log log = {}, Clock clock = steady_seconds,
               Seconds pulse = PULSE);

    // As `close`, and waits for what is stuck as well.
    ~Dispatcher();

    Dispatcher(const Dispatcher&) = delete;
    Dispatcher& operator=(const Dispatcher&) = delete;

    // Let work in, to be done within `seconds`. It is told that it is queued before this returns. Throws QueueFull,
    // Failure (closed, unavailable).
    TicketPtr submit(const std::shared_ptr<Work>& work, int priority = 0, std::optional<Seconds> seconds = {});

    // As `submit`, of all of them or of none. They are told that they are queued in order, once all were let in.
    std::vector<TicketPtr> submit(const std::vector<Submission>& submissions);

    // Take a request back. Nothing happens where it has ended already.
    void cancel(const TicketPtr& ticket);

    // Let nothing more in, and wait until all is done and was told; after `seconds`, end what is left: then false. Not
    // by a thread that tells of anything, for that would wait for itself; neither is `close`.
    bool drain(std::optional<Seconds> seconds = {});

    // End what is left, join the threads and let go of the engines; a call under way is waited for, and so is whoever
    // tells of an end, unless it is stuck: then false, and this must not be destroyed, for that would wait for it. Once
    // is enough.
    bool close();

    // Let go of engines that are not in use. They open again when they are needed.
    void evict(const std::function<bool(Key)>& unwanted);

    // Let go of engines that nobody will need again; of one in use, or being opened, after that.
    void retire(std::function<bool(Key)> unwanted);

    // Why nobody can be served now, or nothing.
    std::optional<std::string> trouble() const { return supervisor_.trouble(); }

    // Whether nothing more is let in.
    bool closing() const;

    // What `read` gives of the scheduler at one moment. It must not call the dispatcher.
    template <typename Read>
    auto look(Read read) const {
        const std::lock_guard lock(mutex_);
        return read(scheduler_);
    }

    // Tell the log. From any thread.
    void report(const std::string& message, bool unforeseen) const;

private:
    using Tickets = std::vector<TicketPtr>;

    SupervisedThread::Died hears_of_death();
    void start();
    void dispatch();
    void prepare(const TicketPtr& ticket);
    void open(const EngineOpening& opening);
    void call(const CallGroup& group);
    void watch();
    void wait_for_news(std::unique_lock<std::mutex>& lock);
    void lost(const std::string& name, const std::string& what) noexcept;
    void fail_all(const std::string& why);
    bool stop();
    void let_go_of_retired();
    void let_go(Key key);
    std::optional<Failed> caught(const char* doing, const std::function<void()>& work) const;

    Mailbox::Hear listener_of(Work& work);
    void tell(const TicketPtr& ticket, Event event);
    void tell_failed(const Tickets& tickets, const Failed& why);

    Scheduler scheduler_;
    Handler& handler_;
    Log log_;
    Clock clock_;
    const Seconds pulse_;
    mutable std::mutex mutex_;           // over all that follows but the worker threads, and over the scheduler
    std::condition_variable idle_;       // nothing is left to be done, or to be told
    std::condition_variable deadlines_;  // there is more to watch, or nothing any more
    std::map<Key, std::unique_ptr<Opened>> engines_;
    std::vector<std::shared_ptr<const std::function<bool(Key)>>> retired_;
    std::size_t untold_ = 0;  // requests that were let in and do not know their end
    bool closing_ = false;
    bool stopped_ = false;
    bool started_ = false;
    std::mutex ending_;  // held while threads are joined
    WorkerThread<TicketPtr> preparing_;
    WorkerThread<EngineOpening> opening_;
    WorkerThread<CallGroup> calling_;
    SupervisedThread watching_;
    Supervisor supervisor_;
};

}  // namespace aptp
