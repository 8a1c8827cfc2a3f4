#include "scheduling/scheduler.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

#include "errors.hpp"

namespace aptp {

namespace {

void add_once(std::vector<Key>& keys, Key key) {
    if (!is_in(keys, key)) keys.push_back(key);
}

// Ask a task where it goes, now that nobody changes it.
void ask(Ticket& ticket) {
    ticket.need = ticket.task->need();
    ticket.upcoming = ticket.task->upcoming();
}

}  // namespace

Scheduler::Scheduler(const QueueLimits& limits, MemoryBudget memory, Capacities capacity)
    : limits_(limits),
      memory_(std::move(memory)),
      queue_(limits.queued, limits.advantage),
      capacity_(std::move(capacity)) {}

void Scheduler::check_room(std::int64_t count) {
    try {
        queue_.check_room(count, limits_.running - static_cast<std::int64_t>(running_.size()), counts_.pace);
    } catch (const QueueFull&) {
        counts_.rejected += static_cast<std::uint64_t>(count);
        throw;
    }
}

TicketPtr Scheduler::admit(std::shared_ptr<SchedulerTask> task, int priority, std::optional<Seconds> deadline,
                           Seconds now) {
    check_room(1);
    ++counts_.admitted;
    return queue_.add(std::move(task), priority, deadline, now);
}

std::vector<TicketPtr> Scheduler::expire(Seconds now) {
    std::vector<TicketPtr> late;
    for (const TicketPtr& ticket : tickets()) {
        if (ticket->deadline && *ticket->deadline <= now) late.push_back(ticket);
    }
    for (const TicketPtr& ticket : late) end(ticket, End::expired);
    return late;
}

std::optional<Seconds> Scheduler::next_deadline() const {
    std::optional<Seconds> next;
    for (const TicketPtr& ticket : tickets()) {
        if (ticket->deadline && (!next || *ticket->deadline < *next)) next = ticket->deadline;
    }
    return next;
}

std::vector<TicketPtr> Scheduler::tickets() const {
    std::vector<TicketPtr> all = queue_.tickets();
    all.insert(all.end(), running_.begin(), running_.end());
    return all;
}

TicketPtr Scheduler::next_preparation() {
    if (preparing_ || static_cast<std::int64_t>(running_.size()) >= limits_.running) return nullptr;
    TicketPtr ticket = queue_.pop();
    if (ticket) {
        ticket->state = State::preparing;
        preparing_ = ticket;
        const auto place = std::upper_bound(running_.begin(), running_.end(), ticket,
                                            [](const auto& one, const auto& other) { return one->rank < other->rank; });
        running_.insert(place, ticket);
    }
    return ticket;
}

bool Scheduler::prepared(const TicketPtr& ticket, bool failed) {
    assert(ticket == preparing_);
    preparing_.reset();
    if (ticket->state == State::ended) return false;
    if (failed) return end(ticket, End::failed);
    ticket->state = State::running;
    ask(*ticket);
    settled_ = false;
    return true;
}

std::optional<EngineOpening> Scheduler::next_opening() {
    leaving_.clear();
    if (settled_ || memory_.opening()) return std::nullopt;
    std::vector<Key> needs;
    for (const TicketPtr& ticket : ready()) add_once(needs, ticket->need);
    for (const Key key : needs) {
        if (!memory_.contains(key)) return open(key, needs, false);
    }
    std::vector<Key> coming;
    for (const TicketPtr& ticket : ready()) {
        if (ticket->upcoming) add_once(coming, *ticket->upcoming);
    }
    for (const Key key : coming) {
        if (memory_.contains(key)) continue;
        for (const Key other : coming) add_once(needs, other);
        return open(key, needs, true);
    }
    settled_ = true;
    return std::nullopt;
}

std::vector<TicketPtr> Scheduler::not_opened(Key key) {
    memory_.failed(key);
    std::vector<TicketPtr> failed;
    for (const TicketPtr& ticket : ready()) {
        if (ticket->need == key && end(ticket, End::failed)) failed.push_back(ticket);
    }
    return failed;
}

std::vector<Key> Scheduler::evict(const std::function<bool(Key)>& unwanted) {
    std::vector<Key> keys;
    for (const Key key : memory_.keys()) {
        const bool busy = group_ && group_->key == key;
        if (!busy && unwanted(key)) keys.push_back(key);
    }
    for (const Key key : keys) {
        memory_.evict(key);
        const auto gone = [key](const auto& each) { return each.first == key; };
        skipped_.erase(std::remove_if(skipped_.begin(), skipped_.end(), gone), skipped_.end());
    }
    settled_ = false;
    return keys;
}

std::optional<CallGroup> Scheduler::next_call() {
    if (group_) return std::nullopt;
    const std::vector<Head> waiting = heads();
    if (waiting.empty()) return std::nullopt;
    const Head& chosen = choose(waiting);
    std::vector<std::pair<Key, std::int64_t>> passed;
    for (const Head& head : waiting) {
        if (head.key != chosen.key) passed.emplace_back(head.key, skipped(head.key) + (head.oldest < chosen.oldest));
    }
    skipped_ = std::move(passed);
    group_ = CallGroup{chosen.key, {}};
    for (const TicketPtr& ticket : running_) {
        if (static_cast<std::int64_t>(group_->tickets.size()) == chosen.count) break;
        if (ticket->state == State::running && ticket->need == chosen.key) group_->tickets.push_back(ticket);
    }
    return group_;
}

std::vector<TicketPtr> Scheduler::called(Seconds seconds, Seconds now, bool failed) {
    assert(group_);
    const CallGroup group = *std::exchange(group_, std::nullopt);
    memory_.ran(group.key, seconds);
    std::vector<TicketPtr> ended;
    for (const TicketPtr& ticket : group.tickets) {
        if (failed || ticket->task->ended()) {
            if (end(ticket, failed ? End::failed : End::finished)) ended.push_back(ticket);
        } else if (!ticket->end) {
            ask(*ticket);
        }
        // Whoever has ended needs nothing; whoever goes on to another engine might need one that is not there.
        settled_ = settled_ && (ticket->end || ticket->need == group.key);
    }
    if (!ended.empty() && !failed) counts_.noted_finish(now, ended.size(), size() > 0);
    return ended;
}

std::vector<TicketPtr> Scheduler::ready() const {
    std::vector<TicketPtr> ready;
    for (const TicketPtr& ticket : running_) {
        if (ticket->state == State::running) ready.push_back(ticket);
    }
    return ready;
}

// Of each engine in memory, the first who need it: as many as share a call. In the order of their first.
std::vector<Scheduler::Head> Scheduler::heads() const {
    std::vector<Head> heads;
    for (const TicketPtr& ticket : running_) {
        if (ticket->state != State::running) continue;
        const auto same = [&](const Head& each) { return each.key == ticket->need; };
        const auto head = std::find_if(heads.begin(), heads.end(), same);
        if (head != heads.end()) {
            head->count = std::min(head->count + 1, head->most);
        } else if (memory_.contains(ticket->need) && !is_in(leaving_, ticket->need)) {
            heads.push_back({ticket->need, capacity_(ticket->need), 1, ticket->rank});
        }
    }
    return heads;
}

// The fullest group, of those the oldest; but first whoever was passed over too often.
const Scheduler::Head& Scheduler::choose(const std::vector<Head>& heads) const {
    // Heads come in the order of their oldest, so the first of several is the oldest.
    const auto late = std::find_if(heads.begin(), heads.end(),
                                   [this](const Head& head) { return skipped(head.key) >= limits_.patience; });
    if (late != heads.end()) return *late;
    const auto is_emptier = [](const Head& one, const Head& other) {
        return static_cast<double>(one.count) / static_cast<double>(one.most) <
               static_cast<double>(other.count) / static_cast<double>(other.most);
    };
    return *std::max_element(heads.begin(), heads.end(), is_emptier);
}

// How often an engine's group was passed over for a younger one.
std::int64_t Scheduler::skipped(Key key) const {
    const auto found =
        std::find_if(skipped_.begin(), skipped_.end(), [key](const auto& each) { return each.first == key; });
    return found == skipped_.end() ? 0 : found->second;
}

std::optional<EngineOpening> Scheduler::open(Key key, const std::vector<Key>& needs, bool ahead) {
    auto victims = memory_.victims(key, needs, ahead);
    if (!victims) return std::nullopt;
    if (group_ && is_in(*victims, group_->key)) {
        leaving_ = std::move(*victims);  // no more calls on them: the running one is their last
        return std::nullopt;
    }
    for (const Key victim : *victims) memory_.evict(victim);
    memory_.start(key);
    return EngineOpening{key, std::move(*victims)};
}

bool Scheduler::end(const TicketPtr& ticket, End how) {
    if (ticket->state == State::ended) return false;
    if (ticket->state == State::queued) {
        queue_.leave(ticket);
    } else {
        running_.erase(std::find(running_.begin(), running_.end(), ticket));
    }
    ticket->state = State::ended;
    ticket->end = how;
    counts_.add(how);
    return true;
}

}  // namespace aptp
