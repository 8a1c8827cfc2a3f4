// What the scheduler promises; that it decides as Python's does, tests/cpp/test_scheduling.py shows.
#include <doctest/doctest.h>

#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "errors.hpp"
#include "scheduling/capacity.hpp"
#include "scheduling/scheduler.hpp"

using namespace aptp;

namespace {

// Work that needs one engine, a letter, for so many calls.
struct Errand final : SchedulerTask {
    Errand(char letter, int many) : engine(static_cast<Key>(letter)), calls(many) {}

    Key need() const override { return engine; }
    std::optional<Key> upcoming() const override { return std::nullopt; }
    bool ended() const override { return calls == 0; }

    Key engine;
    int calls;
};

Scheduler scheduler(const QueueLimits& limits, std::uint64_t engines = 4, std::int64_t capacity = 3) {
    return Scheduler(limits, MemoryBudget(engines, [](Key) { return std::uint64_t{1}; }),
                     [=](Key) { return capacity; });
}

QueueLimits plenty() {
    QueueLimits limits;
    limits.running = 100;
    return limits;
}

// Prepare and open whatever is to be.
void get_ready(Scheduler& one, Seconds seconds = 1.0) {
    while (const TicketPtr ticket = one.next_preparation()) one.prepared(ticket);
    while (const auto opening = one.next_opening()) one.opened(opening->key, seconds);
}

// The engine of the next call, which is made.
char call(Scheduler& one) {
    const auto group = one.next_call();
    REQUIRE(group);
    for (const TicketPtr& ticket : group->tickets) --static_cast<Errand&>(*ticket->task).calls;
    one.called(1.0, 0.0);
    return static_cast<char>(group->key);
}

TicketPtr admit(Scheduler& one, char engine, int calls, int priority = 0, Seconds now = 0) {
    return one.admit(std::make_shared<Errand>(engine, calls), priority, std::nullopt, now);
}

}  // namespace

TEST_CASE("what is too much is refused, and told when to come again") {
    QueueLimits limits;
    limits.running = 1;
    limits.queued = 1;
    Scheduler one = scheduler(limits);
    admit(one, 'a', 1);
    admit(one, 'a', 1);
    try {
        admit(one, 'a', 1);
        FAIL("was let in");
    } catch (const QueueFull& full) {
        CHECK(std::string(full.what()) ==
              "2 requests are waiting, and no more are let in; try again in 1 s, or raise max_queued");
        CHECK(full.retry_after() == 1.0);
    }
    CHECK(one.counts().rejected == 1);
    CHECK(one.size() == 2);
}

TEST_CASE("limits as large as numbers are refuse nobody") {
    constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
    for (const std::int64_t limit : {most, most / 2, most / 4 + 1}) {
        QueueLimits limits;
        limits.running = limit;
        limits.queued = limit;
        Scheduler one = scheduler(limits);
        for (int count = 0; count < 3; ++count) CHECK_NOTHROW(admit(one, 'a', 1));
        CHECK(one.counts().rejected == 0);
    }
}

TEST_CASE("requests of one engine share a call, as many as it takes") {
    Scheduler one = scheduler(plenty());
    for (int count = 0; count < 4; ++count) admit(one, 'a', 2);
    admit(one, 'b', 2);
    get_ready(one);
    const auto group = one.next_call();
    REQUIRE(group);
    CHECK(group->key == 'a');
    CHECK(group->tickets.size() == 3);
    CHECK_FALSE(one.next_call());  // one call at a time
}

TEST_CASE("priority is worth seconds, and equals go in the order they came") {
    Scheduler one = scheduler(plenty());
    const TicketPtr first = admit(one, 'a', 1, 0, 0.0);
    const TicketPtr same = admit(one, 'a', 1, 0, 0.0);
    const TicketPtr urgent = admit(one, 'a', 1, 1, 9.0);
    const TicketPtr late = admit(one, 'a', 1, 1, 11.0);
    std::vector<TicketPtr> order;
    while (const TicketPtr ticket = one.next_preparation()) {
        one.prepared(ticket);
        order.push_back(ticket);
    }
    CHECK(order == std::vector<TicketPtr>{urgent, first, same, late});
}

TEST_CASE("nobody is passed over for younger ones more often than patience says") {
    QueueLimits limits = plenty();
    limits.patience = 2;
    Scheduler one = scheduler(limits);
    admit(one, 'a', 5);
    for (int count = 0; count < 3; ++count) admit(one, 'b', 20);
    get_ready(one);
    std::string order;
    for (int count = 0; count < 6; ++count) order += call(one);
    CHECK(order == "bbabba");
}

TEST_CASE("an engine in use is given up after its turn alone") {
    Scheduler one = scheduler(plenty(), 1);
    admit(one, 'a', 100);
    get_ready(one);
    admit(one, 'b', 1);
    int calls = 0;
    std::optional<EngineOpening> opening;
    while (!opening) {
        if (const TicketPtr ticket = one.next_preparation()) one.prepared(ticket);
        opening = one.next_opening();
        if (!opening) call(one), ++calls;
    }
    CHECK(calls == static_cast<int>(TURN));
    CHECK(opening->key == 'b');
    CHECK(opening->victims == std::vector<Key>{'a'});
}

TEST_CASE("an engine that opened in no time runs before it is given up") {
    Scheduler one = scheduler(plenty(), 1);
    admit(one, 'a', 2);
    admit(one, 'b', 1);
    get_ready(one, 0.0);
    CHECK(call(one) == 'a');
    CHECK(one.next_opening()->key == 'b');
}

TEST_CASE("whoever was taken back in a call is not in the next") {
    Scheduler one = scheduler(plenty());
    const TicketPtr ticket = admit(one, 'a', 9);
    admit(one, 'a', 9);
    get_ready(one);
    REQUIRE(one.next_call()->tickets.size() == 2);
    CHECK(one.cancel(ticket));
    CHECK_FALSE(one.cancel(ticket));
    CHECK(one.called(1.0, 0.0).empty());
    CHECK(one.next_call()->tickets.size() == 1);
    CHECK(one.counts().cancelled == 1);
}

TEST_CASE("many that are taken back while they wait do not pile up") {
    QueueLimits limits;
    limits.running = 1;
    Scheduler one = scheduler(limits);
    admit(one, 'a', 1);
    get_ready(one);
    std::vector<std::weak_ptr<Ticket>> gone;
    for (int count = 0; count < 1000; ++count) {
        const TicketPtr ticket = admit(one, 'a', 1);
        gone.push_back(ticket);
        one.cancel(ticket);
    }
    int kept = 0;
    for (const auto& ticket : gone) kept += ticket.expired() ? 0 : 1;
    CHECK(kept <= 17);
    CHECK(one.queue().size() == 0);
}

TEST_CASE("calls are shared where a row costs less in company") {
    Capacity capacity;
    CHECK(capacity.of(1, 8) == 8);  // nothing is known
    for (int count = 0; count < SAMPLES; ++count) {
        capacity.called(1, 1, 2, 2.0);
        capacity.called(1, 2, 4, 2.4);
        capacity.called(1, 8, 16, 8.0);
        capacity.called(2, 1, 2, 2.0);
        capacity.called(2, 8, 16, 16.0);
    }
    CHECK(capacity.of(1, 8) == 8);
    CHECK(capacity.of(2, 8) == 1);  // a row costs the same alone
    capacity.forget(2);
    CHECK(capacity.of(2, 8) == 8);
}
