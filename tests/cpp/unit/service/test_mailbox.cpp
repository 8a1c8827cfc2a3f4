// Events on their way to a listener: in order, one at a time, nothing after the end, and no lock held meanwhile.
#include <doctest/doctest.h>

#include <atomic>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include "service/mailbox.hpp"

using aptp::Event;
using aptp::Failed;
using aptp::Finished;
using aptp::Mailbox;
using aptp::Queued;
using aptp::Started;
using aptp::Step;

namespace {

constexpr std::chrono::seconds PATIENCE{30};

Step step(std::size_t done) {
    Step made;
    made.done = done;
    return made;
}

// `q`, `s`, `.` for each step, `f` and `x`.
char letter(const Event& event) { return "qs.fx"[event.index()]; }

}  // namespace

TEST_CASE("what is posted while the first event is told comes after it, by the same thread") {
    Mailbox mailbox;
    std::string heard;
    const Mailbox::Hear hear = [&](const Event& event) {
        heard += letter(event);
        if (heard != "q") return;
        mailbox.post(Started{}, hear);
        mailbox.post(step(1), hear);
        CHECK(heard == "q");
    };
    mailbox.open(Queued{}, hear);
    CHECK(heard == "qs.");
    Mailbox ended;
    heard = " ";
    ended.post(Failed{}, hear);
    CHECK(heard == " ");
    ended.open(Queued{}, hear);
    CHECK(heard == " qx");
}

TEST_CASE("who waited for the opening tells what it posts, and the opener of nothing more") {
    for (int round = 0; round < 500; ++round) {
        Mailbox mailbox;
        std::thread::id started_by;
        std::promise<void> told;
        const Mailbox::Hear hear = [&](const Event& event) {
            if (!std::holds_alternative<Started>(event)) return;
            started_by = std::this_thread::get_id();
            told.set_value();
        };
        std::thread other([&] {
            mailbox.wait_opened();
            mailbox.post(Started{}, hear);
        });
        const auto id = other.get_id();
        mailbox.open(Queued{}, hear);
        told.get_future().wait();
        other.join();
        REQUIRE(started_by == id);
    }
}

TEST_CASE("nothing follows the end") {
    Mailbox mailbox;
    std::string heard;
    const Mailbox::Hear hear = [&](const Event& event) { heard += letter(event); };
    mailbox.open(Queued{}, hear);
    mailbox.wait_opened();
    mailbox.post(Started{}, hear);
    mailbox.post(Finished{}, hear);
    mailbox.post(Failed{}, hear);
    mailbox.post(step(1), hear);
    CHECK(heard == "qsf");
}

TEST_CASE("one who hears may end what it hears of, and hears of that afterwards") {
    Mailbox mailbox;
    std::vector<std::string> order;
    Mailbox::Hear hear = [&](const Event& event) {
        order.push_back(std::string("in ") + letter(event));
        if (std::holds_alternative<Started>(event)) mailbox.post(Failed{}, hear);
        order.push_back(std::string("out ") + letter(event));
    };
    mailbox.open(Queued{}, hear);
    mailbox.post(Started{}, hear);
    CHECK(order == std::vector<std::string>{"in q", "out q", "in s", "out s", "in x", "out x"});
}

TEST_CASE("two who hear at once may each post to the other") {
    Mailbox one, two;
    std::promise<void> in_one, in_two;
    std::atomic<int> ends = 0;
    const Mailbox::Hear count = [&](const Event& event) { ends += aptp::is_end(event) ? 1 : 0; };
    one.open(Queued{}, count);
    two.open(Queued{}, count);
    const auto meet = [&](std::promise<void>& mine, std::promise<void>& theirs, Mailbox& other) {
        return [&, met = theirs.get_future().share()](const Event& event) {
            count(event);
            if (!std::holds_alternative<Started>(event)) return;
            mine.set_value();
            CHECK(met.wait_for(PATIENCE) == std::future_status::ready);
            other.post(Failed{}, count);
        };
    };
    const Mailbox::Hear hear_one = meet(in_one, in_two, two), hear_two = meet(in_two, in_one, one);
    std::thread first([&] { one.post(Started{}, hear_one); }), second([&] { two.post(Started{}, hear_two); });
    first.join();
    second.join();
    CHECK(ends == 2);
}

TEST_CASE("many threads post, and one at a time tells") {
    Mailbox mailbox;
    std::atomic<int> inside = 0;
    std::atomic<bool> overlapped = false;
    int heard = 0;  // by one thread at a time
    const Mailbox::Hear hear = [&](const Event&) {
        if (++inside > 1) overlapped = true;
        ++heard;
        --inside;
    };
    mailbox.open(Queued{}, hear);
    std::vector<std::thread> threads;
    for (int thread = 0; thread < 4; ++thread) {
        threads.emplace_back([&] {
            for (std::size_t count = 0; count < 500; ++count) mailbox.post(step(count), hear);
        });
    }
    for (auto& thread : threads) thread.join();
    mailbox.post(Finished{}, hear);
    CHECK_FALSE(overlapped);
    CHECK(heard == 1 + 4 * 500 + 1);
}
