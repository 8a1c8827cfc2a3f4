// Many requests in one call, and images that are waited for as futures.
#include <doctest/doctest.h>

#include <atomic>
#include <future>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "../../fakes/models.hpp"
#include "api/handles.hpp"
#include "aptp.h"

namespace {

std::atomic<bool> held = false;  // calls wait

aptp_status open_made_up(const char* path, const aptp_open_options* options, aptp_runtime** runtime) {
    return aptp::api::open(path, options, runtime, [](const std::string&, const aptp::ModelsOptions&) {
        return std::static_pointer_cast<aptp::Models>(
            std::make_shared<fakes::FakeModels>(4, [](const std::string& what) {
                while (what.rfind("call", 0) == 0 && held) std::this_thread::yield();
                if (what == "call dense") throw aptp::Failure(aptp::Status::engine, "broken");
            }));
    });
}

}  // namespace

#define aptp_open open_made_up
#include "aptp.hpp"
#undef aptp_open

namespace {

aptp::face::OpenOptions two_places() {
    aptp::face::OpenOptions options;
    options.max_running = 1;
    options.max_queued = 1;
    return options;
}

aptp::face::RequestOptions with_code(const std::string& code) {
    aptp::face::RequestOptions options;
    options.code = code;
    return options;
}

}  // namespace

TEST_CASE("all of a batch are let in, told in order, or none is") {
    aptp::face::Runtime runtime("here", two_places());
    std::vector<std::int64_t> ahead;
    std::vector<aptp::face::Order> orders(2, {"fives", {}});
    for (aptp::face::Order& order : orders) {
        order.options.on_event = [&](const aptp_event& event) {
            if (event.kind == APTP_EVENT_QUEUED) ahead.push_back(event.ahead);
        };
    }
    held = true;
    const std::vector<aptp::face::Request> requests = runtime.submit(orders);
    CHECK(ahead == std::vector<std::int64_t>{0, 1});
    CHECK_THROWS_WITH_AS(runtime.submit(orders), doctest::Contains("and not 2 more are let in; try again in"),
                         aptp::face::Error);
    CHECK(ahead.size() == 2);
    CHECK(runtime.status().rejected == 2);
    CHECK(runtime.status().admitted == 2);
    held = false;
    for (const aptp::face::Request& request : requests) CHECK(request.image()->steps == fakes::STEPS);
    orders.push_back({"fives", {}});  // more than there will ever be room for
    CHECK_THROWS_AS(runtime.submit(orders), aptp::face::Error);
    CHECK(runtime.status().admitted == 2);
}

TEST_CASE("a batch with a bad request is refused whole, and says which it is") {
    aptp::face::Runtime runtime("here");
    CHECK_THROWS_WITH_AS(runtime.submit({{"fives", {}}, {"fives", with_code("9")}}),
                         doctest::Contains("request 1: code 9"), aptp::face::Error);
    CHECK_THROWS_WITH_AS(runtime.submit(std::vector<aptp::face::Order>{}), "count 0: give at least one prompt",
                         aptp::face::Error);
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
    aptp::face::Runtime runtime("here");
    std::future<aptp::face::Image> good = runtime.generate_async("fives");
    std::future<aptp::face::Image> bad = runtime.generate_async("fives", with_code("dense"));
    CHECK(good.get().width() == 16);
    CHECK_THROWS_WITH_AS(bad.get(), "broken", aptp::face::Error);
    aptp::face::RequestOptions throwing;
    throwing.on_event = [](const aptp_event& event) {
        if (event.kind == APTP_EVENT_STARTED) throw std::runtime_error("enough");
    };
    CHECK_THROWS_WITH(runtime.generate_async("fives", throwing).get(), "enough");
    CHECK_THROWS_AS(runtime.generate_async("fives", with_code("9")), aptp::face::Error);
}

TEST_CASE("an image whose future nobody keeps is made, and an image outlives its runtime") {
    std::future<aptp::face::Image> kept;
    {
        aptp::face::Runtime runtime("here");
        std::atomic<bool> ended = false;
        aptp::face::RequestOptions options;
        options.on_event = [&](const aptp_event& event) { ended = ended || event.kind == APTP_EVENT_ENDED; };
        static_cast<void>(runtime.generate_async("fives", options));
        kept = runtime.generate_async("fives");
        CHECK(runtime.drain(60));
        CHECK(ended);
        CHECK(runtime.status().finished == 2);
    }
    CHECK(kept.get().height() == 16);
}
