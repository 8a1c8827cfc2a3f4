#include "service/dispatcher.hpp"

#include <algorithm>
#include <chrono>
#include <exception>
#include <iterator>
#include <string>
#include <utility>

#include "errors.hpp"

namespace aptp {

namespace {

// Does something at its end, whatever is thrown before.
class Finally {
public:
    explicit Finally(std::function<void()> work) : work_(std::move(work)) {}
    ~Finally() { work_(); }
    Finally(const Finally&) = delete;
    Finally& operator=(const Finally&) = delete;

private:
    const std::function<void()> work_;
};

// All tasks of a dispatcher's scheduler came in through `submit`.
Work& work_of(const Ticket& ticket) { return static_cast<Work&>(*ticket.task); }

}  // namespace

Dispatcher::Dispatcher(Scheduler scheduler, Handler& handler, Log log, Clock clock, Seconds pulse)
    : scheduler_(std::move(scheduler)),
      handler_(handler),
      log_(std::move(log)),
      clock_(std::move(clock)),
      pulse_(pulse),
      preparing_(
          "prepare", [this](TicketPtr& ticket) { prepare(ticket); }, hears_of_death(), clock_),
      opening_(
          "open", [this](EngineOpening& opening) { open(opening); }, hears_of_death(), clock_),
      calling_(
          "call", [this](CallGroup& group) { call(group); }, hears_of_death(), clock_),
      watching_(
          "watch", [this] { watch(); }, hears_of_death(), clock_),
      supervisor_({&preparing_, &opening_, &calling_, &watching_}) {}

Dispatcher::~Dispatcher() {
    if (close()) return;
    preparing_.join_for_good();
    opening_.join_for_good();
    calling_.join_for_good();
    watching_.join_for_good();
    close();
}

SupervisedThread::Died Dispatcher::hears_of_death() {
    return [this](const std::string& name, const std::string& what) { lost(name, what); };
}

TicketPtr Dispatcher::submit(const std::shared_ptr<Work>& work, int priority, std::optional<Seconds> seconds) {
    return submit({{work, priority, seconds}}).front();
}

std::vector<TicketPtr> Dispatcher::submit(const std::vector<Submission>& submissions) {
    Tickets tickets;
    std::size_t ahead = 0;
    {
        const std::lock_guard lock(mutex_);
        if (closing_) throw Failure(Status::closed, "the runtime is closing and takes no more requests");
        if (const auto refusal = supervisor_.refusal()) throw Failure(Status::unavailable, *refusal);
        if (!started_) start();
        scheduler_.check_room(static_cast<std::int64_t>(submissions.size()));
        tickets.reserve(submissions.size());
        ahead = scheduler_.queue().size();
        const Seconds now = clock_();
        for (const auto& [work, priority, seconds] : submissions) {
            const auto deadline = seconds ? std::optional(now + *seconds) : std::nullopt;
            tickets.push_back(scheduler_.admit(work, priority, deadline, now));
            ++untold_;
        }
        deadlines_.notify_one();
        dispatch();
    }
    for (const Submission& each : submissions) each.work->mailbox_.open(Queued{ahead++}, listener_of(*each.work));
    return tickets;
}

void Dispatcher::cancel(const TicketPtr& ticket) {
    bool ended = false;
    {
        const std::lock_guard lock(mutex_);
        ended = scheduler_.cancel(ticket);
        if (ended) dispatch();
    }
    if (ended) tell_failed({ticket}, {Status::cancelled, "the request was cancelled"});
}

bool Dispatcher::drain(std::optional<Seconds> seconds) {
    Tickets left;
    bool done = true;
    {
        std::unique_lock lock(mutex_);
        closing_ = true;
        const auto is_done = [this] { return scheduler_.size() == 0 && untold_ == 0; };
        if (seconds) {
            done = idle_.wait_for(lock, std::chrono::duration<Seconds>(std::min(*seconds, 1e9)), is_done);
        } else {
            idle_.wait(lock, is_done);
        }
        left = scheduler_.tickets();
        for (const TicketPtr& ticket : left) scheduler_.cancel(ticket);
    }
    tell_failed(left, {Status::closed, "the runtime was closed before the image was done"});
    return done;
}

bool Dispatcher::close() {
    drain(0);
    bool ended = true;
    {
        const std::lock_guard once(ending_);
        {
            const std::lock_guard lock(mutex_);
            stopped_ = true;
            deadlines_.notify_one();
        }
        ended = stop();
    }
    {
        // Threads that are not ours may still tell of an end: those that submit, and those that cancel.
        std::unique_lock lock(mutex_);
        const auto all_told = [this] { return untold_ == 0; };
        if (ended) idle_.wait(lock, all_told);
        ended = ended && all_told();
    }
    evict([](Key) { return true; });
    return ended;
}

// End the threads, those that began; whether they have ended.
bool Dispatcher::stop() {
    const bool ended[] = {preparing_.stop(), opening_.stop(), calling_.stop(), watching_.join()};
    return std::all_of(std::begin(ended), std::end(ended), [](bool each) { return each; });
}

void Dispatcher::evict(const std::function<bool(Key)>& unwanted) {
    std::vector<std::pair<Key, std::unique_ptr<Opened>>> engines;
    {
        const std::lock_guard lock(mutex_);
        // Taken out with the lock held: an engine of the same key may be opened as soon as it is free.
        for (const Key key : scheduler_.evict(unwanted)) {
            const auto found = engines_.find(key);
            engines.emplace_back(key, std::move(found->second));
            engines_.erase(found);
        }
    }
    for (auto& [key, engine] : engines) handler_.close(key, std::move(engine));
    if (!engines.empty()) handler_.closed();
}

void Dispatcher::retire(std::function<bool(Key)> unwanted) {
    {
        const std::lock_guard lock(mutex_);
        retired_.push_back(std::make_shared<const std::function<bool(Key)>>(std::move(unwanted)));
    }
    let_go_of_retired();
}

bool Dispatcher::closing() const {
    const std::lock_guard lock(mutex_);
    return closing_;
}

// Called with the lock held.
void Dispatcher::start() {
    const auto start_all = [this] {
        preparing_.start();
        opening_.start();
        calling_.start();
        watching_.start();
    };
    supervisor_.start(start_all, [this] { stop(); });  // those that began end here; the next request tries again
    started_ = true;
}

// Hand out whatever is to be done now. Called with the lock held, after every change.
void Dispatcher::dispatch() {
    if (stopped_) return;
    if (TicketPtr ticket = scheduler_.next_preparation()) preparing_.give(std::move(ticket));
    if (auto opening = scheduler_.next_opening()) opening_.give(std::move(*opening));
    if (auto group = scheduler_.next_call()) calling_.give(std::move(*group));
    if (scheduler_.size() == 0) idle_.notify_all();
}

void Dispatcher::prepare(const TicketPtr& ticket) {
    const auto failure = caught("preparing", [&] { handler_.prepare(work_of(*ticket)); });
    // Told now, for its first call may be made as soon as it counts as prepared. Whoever submitted it has told of that
    // by then: all that follows is told by the threads of this class.
    work_of(*ticket).mailbox_.wait_opened();
    if (!failure) tell(ticket, work_of(*ticket).started());
    bool alive = false;
    {
        const std::lock_guard lock(mutex_);
        alive = scheduler_.prepared(ticket, failure.has_value());
        dispatch();
    }
    if (alive && failure) tell_failed({ticket}, *failure);
}

void Dispatcher::open(const EngineOpening& opening) {
    for (const Key victim : opening.victims) let_go(victim);
    const Seconds begin = clock_();
    std::unique_ptr<Opened> engine;
    const auto failure = caught("opening", [&] { engine = handler_.open(opening.key); });
    Tickets failed;
    {
        const std::lock_guard lock(mutex_);
        if (failure) {
            failed = scheduler_.not_opened(opening.key);
        } else {
            engines_[opening.key] = std::move(engine);
            scheduler_.opened(opening.key, clock_() - begin);
        }
        dispatch();
    }
    if (failure) tell_failed(failed, *failure);
    let_go_of_retired();
}

void Dispatcher::call(const CallGroup& group) {
    std::vector<Work*> works;
    for (const TicketPtr& ticket : group.tickets) works.push_back(&work_of(*ticket));
    Opened* engine = nullptr;
    {
        const std::lock_guard lock(mutex_);
        engine = engines_.at(group.key).get();
    }
    const Seconds begin = clock_();
    const auto failure = caught("running", [&] { handler_.call(group.key, *engine, works); });
    const Seconds now = clock_();
    Tickets ended;
    Tickets going;
    {
        const std::lock_guard lock(mutex_);
        ended = scheduler_.called(now - begin, now, failure.has_value());
        for (const TicketPtr& ticket : group.tickets) {
            if (!ticket->end) going.push_back(ticket);
        }
        dispatch();
    }
    // This thread makes the next call too, so steps are told in order.
    for (const TicketPtr& ticket : going) {
        if (auto step = work_of(*ticket).step()) tell(ticket, std::move(*step));
    }
    if (failure) {
        tell_failed(ended, *failure);
    } else {
        for (const TicketPtr& ticket : ended) tell(ticket, work_of(*ticket).finished());
    }
    let_go_of_retired();
}

void Dispatcher::watch() {
    std::unique_lock lock(mutex_);
    while (!stopped_) {
        Tickets expired = scheduler_.expire(clock_());
        if (!expired.empty()) {
            dispatch();
            lock.unlock();
            tell_failed(expired, {Status::deadline_exceeded, "the deadline passed before the image was done"});
            expired.clear();
            lock.lock();
        } else {
            wait_for_news(lock);
        }
        if (scheduler_.size() == 0) continue;
        if (const auto trouble = supervisor_.trouble()) {
            lock.unlock();
            fail_all(*trouble);
            lock.lock();
        }
    }
}

// Wait until there may be a deadline to keep, or a thread to look after.
void Dispatcher::wait_for_news(std::unique_lock<std::mutex>& lock) {
    if (scheduler_.size() == 0) {
        deadlines_.wait(lock);
        return;
    }
    const auto deadline = scheduler_.next_deadline();
    const Seconds left = deadline ? std::clamp(*deadline - clock_(), 0.0, pulse_) : pulse_;
    deadlines_.wait_for(lock, std::chrono::duration<Seconds>(left));
}

// Called in a thread that died.
void Dispatcher::lost(const std::string& name, const std::string& what) noexcept {
    fail_all(supervisor_.died(name, what));
}

// End all that is in, whether it waits or runs.
void Dispatcher::fail_all(const std::string& why) {
    report(why, true);
    Tickets left;
    {
        const std::lock_guard lock(mutex_);
        left = scheduler_.tickets();
        for (const TicketPtr& ticket : left) scheduler_.fail(ticket);
        idle_.notify_all();
    }
    tell_failed(left, {Status::unavailable, why});
}

void Dispatcher::let_go_of_retired() {
    decltype(retired_) retired;
    {
        const std::lock_guard lock(mutex_);
        retired = retired_;
    }
    for (const auto& unwanted : retired) {
        evict(*unwanted);
        const std::lock_guard lock(mutex_);
        if (scheduler_.memory().holds(*unwanted)) continue;
        retired_.erase(std::remove(retired_.begin(), retired_.end(), unwanted), retired_.end());
    }
}

void Dispatcher::let_go(Key key) {
    std::unique_ptr<Opened> engine;
    {
        const std::lock_guard lock(mutex_);
        const auto found = engines_.find(key);
        if (found == engines_.end()) return;
        engine = std::move(found->second);
        engines_.erase(found);
    }
    handler_.close(key, std::move(engine));
}

// Keep a thread alive through whatever its work throws.
std::optional<Failed> Dispatcher::caught(const char* doing, const std::function<void()>& work) const {
    try {
        work();
        return std::nullopt;
    } catch (const Failure& failure) {
        report(std::string(doing) + " failed: " + failure.what(), false);
        return Failed{failure.status(), failure.what()};
    } catch (const std::exception& error) {  // one request's trouble must not end all others
        const std::string message = std::string(doing) + " failed unforeseen: " + error.what();
        report(message, true);
        return Failed{Status::engine, message};
    } catch (...) {
        const std::string message = std::string(doing) + " failed unforeseen, with what is no exception";
        report(message, true);
        return Failed{Status::engine, message};
    }
}

void Dispatcher::report(const std::string& message, bool unforeseen) const {
    if (log_) log_(message, unforeseen);
}

Mailbox::Hear Dispatcher::listener_of(Work& work) {
    return [this, &work](const Event& event) {
        if (!is_end(event)) return work.hear(event);
        const Finally told([this] {
            const std::lock_guard lock(mutex_);
            if (--untold_ == 0) idle_.notify_all();
        });
        work.hear(event);
    };
}

void Dispatcher::tell(const TicketPtr& ticket, Event event) {
    Work& work = work_of(*ticket);
    work.mailbox_.post(std::move(event), listener_of(work));
}

void Dispatcher::tell_failed(const Tickets& tickets, const Failed& why) {
    for (const TicketPtr& ticket : tickets) tell(ticket, why);
}

}  // namespace aptp
