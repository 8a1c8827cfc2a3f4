// Threads around the scheduler: everyone is told how it ended, once, whatever goes wrong.
#include <doctest/doctest.h>

#include <atomic>
#include <functional>
#include <future>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "errors.hpp"
#include "staging.hpp"

using namespace staging;
using aptp::Failure;
using aptp::Status;
using aptp::TicketPtr;

namespace {

using Errands = std::vector<std::shared_ptr<Errand>>;

const std::string CANCELLED = "the request was cancelled";

aptp::RequestStats counts(const Theatre& theatre) {
    return theatre.dispatcher.look([](const aptp::Scheduler& scheduler) { return scheduler.counts(); });
}

}  // namespace

TEST_CASE("events come in order") {
    Theatre theatre;
    const auto errand = std::make_shared<Errand>(4);
    theatre.dispatcher.submit(errand);
    CHECK(errand->end() == "finished");
    CHECK(errand->heard() == std::vector<std::string>{"behind 0", "started", "1", "2", "3", "finished"});
}

TEST_CASE("what is too much is refused") {
    Gate gate("call");
    Theatre theatre(std::ref(gate), 2, 1);
    const Errands errands{std::make_shared<Errand>(), std::make_shared<Errand>(), std::make_shared<Errand>()};
    for (const auto& errand : errands) theatre.dispatcher.submit(errand);
    for (int count = 0; count < 4; ++count) {
        CHECK_THROWS_AS(theatre.dispatcher.submit(std::make_shared<Errand>()), aptp::QueueFull);
    }
    gate.leave_open();
    for (const auto& errand : errands) CHECK(errand->end() == "finished");
    CHECK(counts(theatre).finished == 3);
    CHECK(counts(theatre).rejected == 4);
}

TEST_CASE("a queued one is cancelled at once, and a running one before its next call") {
    Gate gate("call");
    Theatre theatre(std::ref(gate), 1, std::nullopt, 1);
    const auto running = std::make_shared<Errand>(9);
    const auto queued = std::make_shared<Errand>();
    const auto following = std::make_shared<Errand>();
    const TicketPtr first = theatre.dispatcher.submit(running);
    const TicketPtr second = theatre.dispatcher.submit(queued);
    theatre.dispatcher.submit(following);
    gate.wait();
    theatre.dispatcher.cancel(second);
    CHECK(queued->end() == CANCELLED);
    CHECK(queued->heard().size() == 2);  // never begun
    theatre.dispatcher.cancel(first);
    CHECK(running->end() == CANCELLED);
    gate.leave_open();
    CHECK(following->end() == "finished");
    theatre.dispatcher.cancel(first);  // nothing happens
    CHECK(running->ends() == 1);
    const std::vector<std::vector<aptp::Work*>> wanted{{running.get()}, {following.get()}};
    CHECK(theatre.stage.calls() == wanted);
}

TEST_CASE("a deadline ends what waits and what runs") {
    Gate gate("call");
    Theatre theatre(std::ref(gate), 1, std::nullopt, 1);
    const auto running = std::make_shared<Errand>(5);
    const auto waiting = std::make_shared<Errand>();
    theatre.dispatcher.submit(running, 0, 0.05);
    theatre.dispatcher.submit(waiting, 0, 0.05);
    for (const auto& errand : {running, waiting}) {
        CHECK(errand->end() == "the deadline passed before the image was done");
    }
    gate.leave_open();
    theatre.dispatcher.drain();
    CHECK(theatre.stage.calls().size() <= 1);
    CHECK(counts(theatre).expired == 2);
}

TEST_CASE("deadlines are those of the clock that is given") {
    std::atomic<double> now = 0;
    Gate gate("call");
    Stage stage(std::ref(gate));
    aptp::Dispatcher dispatcher(Theatre::scheduler(1, {}, 1, 4), stage, {}, [&] { return now.load(); });
    const auto errand = std::make_shared<Errand>(2);
    dispatcher.submit(errand, 0, 1000.0);
    gate.wait();
    now = 1001;
    // Another deadline makes it look at the clock again.
    const auto other = std::make_shared<Errand>();
    dispatcher.submit(other, 0, 1000.0);
    CHECK(errand->end() == "the deadline passed before the image was done");
    gate.leave_open();
    CHECK(other->end() == "finished");
}

TEST_CASE("what goes wrong ends its own and no other") {
    for (const std::string what : {"prepare", "open", "call"}) {
        CAPTURE(what);
        Theatre theatre([&](const std::string& now, char key) {
            if (now == what && key == 'b') throw Failure(Status::integrity, "no more");
            if (now == what && key == 'c') throw std::runtime_error("surprise");
            if (now == what && key == 'd') throw 7;
        });
        const auto foreseen = std::make_shared<Errand>(3, 'b');
        const auto unforeseen = std::make_shared<Errand>(3, 'c');
        const auto strange = std::make_shared<Errand>(3, 'd');
        const auto good = std::make_shared<Errand>(3, 'a');
        for (const auto& errand : {foreseen, unforeseen, strange, good}) theatre.dispatcher.submit(errand);
        CHECK(foreseen->end() == "no more");
        CHECK(unforeseen->end().find("failed unforeseen: surprise") != std::string::npos);
        CHECK(strange->end().find("failed unforeseen, with what is no exception") != std::string::npos);
        CHECK(good->end() == "finished");
    }
}

TEST_CASE("engines are let go before others come") {
    Theatre theatre([](const std::string&, char) {}, 4, {}, 4, 1);
    for (const char engine : {'a', 'b'}) {
        const auto errand = std::make_shared<Errand>(1, engine);
        theatre.dispatcher.submit(errand);
        CHECK(errand->end() == "finished");
    }
    CHECK(theatre.stage.closed() == "a");
}

TEST_CASE("an engine that retires at work goes when it is done") {
    for (const std::string what : {"open", "call"}) {
        CAPTURE(what);
        Gate gate(what);
        Theatre theatre(std::ref(gate));
        const TicketPtr ticket = theatre.dispatcher.submit(std::make_shared<Errand>(9));
        gate.wait();
        theatre.dispatcher.cancel(ticket);
        theatre.dispatcher.retire([](Key key) { return key == 'a'; });
        CHECK(theatre.stage.closed().empty());
        gate.leave_open();
        CHECK(theatre.stage.eventually_closed("a"));
    }
}

TEST_CASE("draining finishes what was let in, and lets nothing in") {
    Gate gate("call");
    Theatre theatre(std::ref(gate), 1, {}, 1);
    const Errands errands{std::make_shared<Errand>(), std::make_shared<Errand>()};
    for (const auto& errand : errands) theatre.dispatcher.submit(errand);
    gate.wait();
    bool drained = false;
    std::thread waiting([&] { drained = theatre.dispatcher.drain(); });
    while (!theatre.dispatcher.closing()) std::this_thread::yield();
    CHECK_THROWS_WITH(theatre.dispatcher.submit(std::make_shared<Errand>()),
                      "the runtime is closing and takes no more requests");
    gate.leave_open();
    waiting.join();
    CHECK(drained);
    for (const auto& errand : errands) CHECK(errand->end() == "finished");
}

TEST_CASE("what draining cuts off is told") {
    Gate gate("call");
    Theatre theatre(std::ref(gate), 1, {}, 1);
    const Errands errands{std::make_shared<Errand>(), std::make_shared<Errand>()};
    for (const auto& errand : errands) theatre.dispatcher.submit(errand);
    gate.wait();
    CHECK_FALSE(theatre.dispatcher.drain(0.01));
    for (const auto& errand : errands) CHECK(errand->end() == "the runtime was closed before the image was done");
    gate.leave_open();
}

TEST_CASE("two who are told at once may take each other back") {
    std::promise<void> in_first, in_second;
    const auto met_first = in_first.get_future().share(), met_second = in_second.get_future().share();
    Theatre theatre;
    TicketPtr first_ticket, second_ticket;
    std::promise<void> submitted;
    const auto both = submitted.get_future().share();
    const auto second = std::make_shared<Errand>(100, 'b', [&](const std::string& told) {
        if (told != "started") return;  // told by the thread that prepares
        in_second.set_value();
        CHECK(met_first.wait_for(PATIENCE) == std::future_status::ready);
        CHECK(both.wait_for(PATIENCE) == std::future_status::ready);
        theatre.dispatcher.cancel(first_ticket);
    });
    const auto first = std::make_shared<Errand>(100, 'a', [&](const std::string& told) {
        if (told != "1") return;  // told by the thread that calls
        in_first.set_value();
        CHECK(met_second.wait_for(PATIENCE) == std::future_status::ready);
        CHECK(both.wait_for(PATIENCE) == std::future_status::ready);
        theatre.dispatcher.cancel(second_ticket);
    });
    first_ticket = theatre.dispatcher.submit(first);
    met_first.wait_for(PATIENCE);
    second_ticket = theatre.dispatcher.submit(second);
    submitted.set_value();
    CHECK(first->end() == CANCELLED);
    CHECK(second->end() == CANCELLED);
    const auto bystander = std::make_shared<Errand>(1, 'c');
    theatre.dispatcher.submit(bystander);
    CHECK(bystander->end() == "finished");
}

TEST_CASE("nothing is told before it is told that it is queued, and closing waits for whoever tells") {
    std::promise<void> entered, released;
    const auto release = released.get_future().share();
    const auto errand = std::make_shared<Errand>(1, 'a', [&](const std::string& told) {
        if (told != "behind 0") return;
        entered.set_value();
        release.wait_for(PATIENCE);
    });
    std::atomic<bool> closed = false;
    Theatre theatre;
    std::thread submitting([&] { theatre.dispatcher.submit(errand); });
    entered.get_future().wait_for(PATIENCE);
    std::thread closing([&] {
        theatre.dispatcher.close();
        closed = true;
    });
    while (!theatre.dispatcher.closing()) std::this_thread::yield();
    CHECK(errand->heard() == std::vector<std::string>{"behind 0"});
    CHECK_FALSE(closed);
    released.set_value();
    submitting.join();
    closing.join();
    CHECK(errand->ends() == 1);
    CHECK_FALSE(errand->overlapped());
}

TEST_CASE("closing lets go of every engine, and may be done twice") {
    Theatre theatre;
    const auto errand = std::make_shared<Errand>();
    theatre.dispatcher.submit(errand);
    CHECK(errand->end() == "finished");
    theatre.dispatcher.close();
    theatre.dispatcher.close();
    CHECK(theatre.stage.closed() == "a");
}

TEST_CASE("many threads, many cancels, few engines: each ends once") {
    Theatre theatre([](const std::string&, char) {}, 6, {}, 3, 2);
    constexpr int THREADS = 8;
    constexpr int EACH = 100;
    std::atomic<int> finished = 0;
    std::atomic<int> cancelled = 0;
    std::vector<std::thread> threads;
    for (unsigned seed = 0; seed < THREADS; ++seed) {
        threads.emplace_back([&, seed] {
            std::mt19937 random(seed);
            for (int count = 0; count < EACH; ++count) {
                const auto errand = std::make_shared<Errand>(1 + static_cast<int>(random() % 4), "abc"[random() % 3]);
                const TicketPtr ticket = theatre.dispatcher.submit(errand, static_cast<int>(random() % 3) - 1);
                if (random() % 3 == 0) theatre.dispatcher.cancel(ticket);
                ++(errand->end() == "finished" ? finished : cancelled);
                if (errand->ends() != 1) cancelled = -1'000'000;
            }
        });
    }
    for (auto& thread : threads) thread.join();
    theatre.dispatcher.drain();
    CHECK(finished + cancelled == THREADS * EACH);
    CHECK(counts(theatre).finished == static_cast<std::uint64_t>(finished));
    CHECK(counts(theatre).cancelled == static_cast<std::uint64_t>(cancelled));
}
