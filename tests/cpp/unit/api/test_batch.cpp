// Many requests in one call, and images that are waited for as futures.
#include <doctest/doctest.h>

#include <atomic>
#include <future>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "made_up.hpp"

#define aptp_open made_up::open
#include "aptp.hpp"
#undef aptp_open

namespace {

aptp::OpenOptions two_places() {
    aptp::OpenOptions options;
    options.max_running = 1;
    options.max_queued = 1;
    return options;
}

aptp::RequestOptions with_code(const std::string& code) {
    aptp::RequestOptions options;
    options.code = code;
    return options;
}

}  // namespace

TEST_CASE("all of a batch are let in, told in order, or none is") {
    aptp::Runtime runtime("here", two_places());
    std::vector<std::int64_t> ahead;
    std::atomic<bool> held = true;  // whoever has started waits
    std::vector<aptp::Order> orders(2, {"fives", {}});
    for (aptp::Order& order : orders) {
        order.options.on_event = [&](const aptp_event& event) {
            if (event.kind == APTP_EVENT_QUEUED) ahead.push_back(event.ahead);
            while (event.kind == APTP_EVENT_STARTED && held) std::this_thread::yield();
        };
    }
    const std::vector<aptp::Request> requests = runtime.submit(orders);
    CHECK(ahead == std::vector<std::int64_t>{0, 1});
    CHECK_THROWS_WITH_AS(runtime.submit(orders), doctest::Contains("and not 2 more are let in; try again in"),
                         aptp::Error);
    CHECK(ahead.size() == 2);
    CHECK(runtime.status().rejected == 2);
    CHECK(runtime.status().admitted == 2);
    held = false;
    for (const aptp::Request& request : requests) CHECK(request.image()->steps == made_up::STEPS);
    orders.push_back({"fives", {}});  // more than there will ever be room for
    CHECK_THROWS_AS(runtime.submit(orders), aptp::Error);
    CHECK(runtime.status().admitted == 2);
}

TEST_CASE("a batch with a bad request is refused whole, and says which it is") {
    aptp::Runtime runtime("here");
    CHECK_THROWS_WITH_AS(runtime.submit({{"fives", {}}, {"fives", with_code("9")}}),
                         doctest::Contains("request 1: code 9"), aptp::Error);
    CHECK_THROWS_WITH_AS(runtime.submit(std::vector<aptp::Order>{}), "count 0: give at least one prompt", aptp::Error);
    CHECK(runtime.status().admitted == 0);
    const char* prompts[] = {"fives", nullptr};
    aptp_request* requests[2] = {};
    CHECK(aptp_submit_all(runtime.handle(), 2, prompts, nullptr, requests) == APTP_USAGE_ERROR);
    CHECK(std::string(aptp_error()) == "request 1: prompt: NULL was given");
    CHECK(requests[0] == nullptr);
    prompts[1] = "fives";
    REQUIRE(aptp_submit_all(runtime.handle(), 2, prompts, nullptr, requests) == APTP_OK);
    for (aptp_request* request : requests) {
        CHECK(aptp_wait(request, APTP_FOREVER) == APTP_OK);
        aptp_release(request);
    }
}

TEST_CASE("a future gives the image, or throws what its request ended with") {
    aptp::Runtime runtime("here");
    std::future<aptp::Image> good = runtime.generate_async("fives");
    std::future<aptp::Image> bad = runtime.generate_async("fives", with_code("dense"));
    CHECK(good.get().width() == 16);
    CHECK_THROWS_WITH_AS(bad.get(), "broken", aptp::Error);
    aptp::RequestOptions throwing;
    throwing.on_event = [](const aptp_event& event) {
        if (event.kind == APTP_EVENT_STARTED) throw std::runtime_error("enough");
    };
    CHECK_THROWS_WITH(runtime.generate_async("fives", throwing).get(), "enough");
    CHECK_THROWS_AS(runtime.generate_async("fives", with_code("9")), aptp::Error);
}

TEST_CASE("an image whose future nobody keeps is made, and an image outlives its runtime") {
    std::future<aptp::Image> kept;
    {
        aptp::Runtime runtime("here");
        std::atomic<bool> ended = false;
        aptp::RequestOptions options;
        options.on_event = [&](const aptp_event& event) { ended = ended || event.kind == APTP_EVENT_ENDED; };
        static_cast<void>(runtime.generate_async("fives", options));
        kept = runtime.generate_async("fives");
        CHECK(runtime.drain(60));
        CHECK(ended);
        CHECK(runtime.status().finished == 2);
    }
    CHECK(kept.get().height() == 16);
}
