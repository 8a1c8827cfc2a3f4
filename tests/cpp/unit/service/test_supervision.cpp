// Threads that do not start, die, or never come back: all are told why, nobody waits, and closing works.
#include <doctest/doctest.h>

#include <atomic>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "../../fakes/scarcity.hpp"
#include "errors.hpp"
#include "service/worker_thread.hpp"
#include "staging.hpp"

using namespace staging;
using aptp::Dispatcher;
using aptp::Failure;
using aptp::Seconds;
using aptp::Status;

namespace {

constexpr Seconds PULSE = 0.01;

Dispatcher dispatcher_of(Stage& stage, const aptp::Clock& clock = aptp::steady_seconds, std::int64_t running = 4) {
    return {Theatre::scheduler(running, {}, 4, 4), stage, {}, clock, PULSE};
}

template <typename Condition>
bool eventually(Condition condition) {
    const Seconds end = aptp::steady_seconds() + static_cast<Seconds>(PATIENCE.count());
    while (!condition()) {
        if (aptp::steady_seconds() > end) return false;
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return true;
}

Status refused(Dispatcher& dispatcher) {
    try {
        dispatcher.submit(std::make_shared<Errand>());
    } catch (const Failure& failure) {
        return failure.status();
    }
    return Status::ok;
}

}  // namespace

TEST_CASE("where no thread can be started, that is said, and later requests start them") {
    Stage stage;
    Dispatcher dispatcher = dispatcher_of(stage);
    const std::string why =
        "the system gives this process no more threads; raise the limit of processes (RLIMIT_NPROC, or pids.max of its "
        "container), and try again";
    {
        const fakes::Scarcity scarcity;
        CHECK_THROWS_WITH_AS(dispatcher.submit(std::make_shared<Errand>()), why.c_str(), Failure);
        CHECK(refused(dispatcher) == Status::unavailable);
    }
    CHECK(dispatcher.trouble() == why);
    const auto errand = std::make_shared<Errand>();
    dispatcher.submit(errand);
    CHECK(errand->end() == "finished");
    CHECK_FALSE(dispatcher.trouble());
    CHECK(dispatcher.look([](const aptp::Scheduler& scheduler) { return scheduler.counts(); }).admitted == 1);
}

TEST_CASE("a thread that dies is told to all") {
    // What a listener throws, which it must not, is what nothing else catches.
    struct Death {
        std::string thread;
        std::string told;
    };
    for (const Death& death : {Death{"prepare", "started"}, Death{"call", "1"}}) {
        CAPTURE(death.thread);
        Gate gate("call");
        Stage stage(std::ref(gate));
        Dispatcher dispatcher = dispatcher_of(stage);
        const auto fatal = [&](const std::string& told) {
            if (told == death.told) throw std::runtime_error("of a test");
        };
        const auto running = std::make_shared<Errand>(1 << 20, 'a');
        const auto waiting = std::make_shared<Errand>(1 << 20, 'b');
        const auto mortal = std::make_shared<Errand>(1 << 20, 'a', fatal);
        for (const auto& errand : {running, waiting, mortal}) dispatcher.submit(errand);
        gate.wait();
        gate.leave_open();
        const std::string said =
            "the thread '" + death.thread +
            "' of the runtime died of an exception: of a test; open the bundle again, or restart the process";
        for (const auto& errand : {running, waiting, mortal}) {
            CHECK(errand->end() == said);
            CHECK(errand->ends() == 1);
        }
        CHECK(dispatcher.trouble() == said);
        CHECK(refused(dispatcher) == Status::unavailable);
        const auto counts = dispatcher.look([](const aptp::Scheduler& scheduler) { return scheduler.counts(); });
        CHECK(counts.admitted == 3);
        CHECK(counts.failed == 3);
        CHECK(dispatcher.close());
    }
}

TEST_CASE("a watch that dies is told to all") {
    std::atomic<Seconds> now = 0;
    Gate gate("call");
    Stage stage(std::ref(gate));
    Dispatcher dispatcher = dispatcher_of(stage, [&] { return now.load(); }, 1);
    const auto fatal = [](const std::string& told) {
        if (told == "the deadline passed before the image was done") throw std::runtime_error("of a test");
    };
    const auto running = std::make_shared<Errand>(1 << 20);
    const auto late = std::make_shared<Errand>(1 << 20, 'b', fatal);
    dispatcher.submit(running);
    dispatcher.submit(late, 0, 1000.0);  // it waits, so nobody else tells it of anything
    gate.wait();
    now = 1001;
    CHECK(running->end() ==
          "the thread 'watch' of the runtime died of an exception: of a test; open the bundle again, or restart the "
          "process");
    CHECK(refused(dispatcher) == Status::unavailable);
    gate.leave_open();
    CHECK(dispatcher.close());
}

TEST_CASE("a thread that does not come back is told to all, and serves again when it does") {
    std::atomic<Seconds> now = 0;
    Gate gate("call");
    Stage stage(std::ref(gate));
    Dispatcher dispatcher = dispatcher_of(stage, [&] { return now.load(); });
    const auto running = std::make_shared<Errand>();
    const auto waiting = std::make_shared<Errand>(1, 'b');
    dispatcher.submit(running);
    dispatcher.submit(waiting);
    gate.wait();
    now = aptp::FIRST;
    CHECK_FALSE(dispatcher.trouble());
    now = aptp::FIRST + 1;
    const std::string said =
        "the thread 'call' has not come back from one piece of work for 1801 s; restart the process if it does not "
        "recover";
    for (const auto& errand : {running, waiting}) CHECK(errand->end() == said);
    CHECK(dispatcher.trouble() == said);
    CHECK(refused(dispatcher) == Status::unavailable);
    gate.leave_open();
    CHECK(eventually([&] { return !dispatcher.trouble(); }));
    const auto later = std::make_shared<Errand>();
    dispatcher.submit(later);
    CHECK(later->end() == "finished");
    CHECK(dispatcher.close());
}

TEST_CASE("what is stuck is not waited for, until it comes back") {
    std::atomic<Seconds> now = 0;
    Gate gate("call");
    Stage stage(std::ref(gate));
    Dispatcher dispatcher = dispatcher_of(stage, [&] { return now.load(); });
    const auto errand = std::make_shared<Errand>();
    dispatcher.submit(errand);
    gate.wait();
    now = 10 * aptp::FIRST;
    CHECK_FALSE(dispatcher.close());
    CHECK(errand->ends() == 1);
    gate.leave_open();  // its end waits for the thread
}

TEST_CASE("patience is with the work that there is") {
    std::atomic<Seconds> now = 0;
    std::atomic<bool> open = true;
    std::atomic<int> done = 0;
    const auto work = [&](Seconds& seconds) {
        while (!open) std::this_thread::yield();
        now = now + seconds;
        ++done;
    };
    aptp::WorkerThread<Seconds> thread("test", work, [](const auto&, const auto&) {}, [&] { return now.load(); });
    thread.start();
    thread.give(20);
    CHECK(eventually([&] { return done == 1; }));
    thread.give(0);  // it has noted the first when it begins this
    CHECK(eventually([&] { return done == 2; }));
    open = false;
    thread.give(0);
    CHECK(eventually([&] {  // it has begun: one second more than its patience is seen
        now = now + 2001;
        return thread.stuck().has_value();
    }));
    open = true;
    CHECK(thread.stop());
    CHECK_FALSE(thread.stuck());
}
