// The lifetime rules of aptp.hpp, over a bundle that is made up: what may go when, in whose thread.
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "made_up.hpp"

#define aptp_open made_up::open
#include "aptp.hpp"
#undef aptp_open

namespace {

template <typename Condition>
bool eventually(Condition condition) {
    for (int count = 0; count < 30'000 && !condition(); ++count) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return condition();
}

}  // namespace

TEST_CASE("a request may be let go of in any of its callbacks, which is destroyed after its end") {
    aptp::Runtime runtime("here");
    for (const aptp_event_kind when : {APTP_EVENT_STARTED, APTP_EVENT_STEP, APTP_EVENT_ENDED}) {
        CAPTURE(when);
        std::atomic<int> ends = 0;
        std::weak_ptr<std::optional<aptp::Request>> watched;
        {
            const auto self = std::make_shared<std::optional<aptp::Request>>();
            watched = self;
            const std::string name(64, 'n');  // destroyed with the callback
            std::atomic<bool> given = false;
            aptp::RequestOptions options;
            options.steps_wanted = true;
            options.on_event = [self, name, when, &ends, &given](const aptp_event& event) {
                while (event.kind != APTP_EVENT_QUEUED && !given && ends == 0) std::this_thread::yield();
                if (event.kind == when) self->reset();
                CHECK(name == std::string(64, 'n'));
                if (event.kind == APTP_EVENT_ENDED) ++ends;
            };
            aptp::Request request = runtime.submit("fives", options);
            self->emplace(std::move(request));
            given = true;
            CHECK(eventually([&] { return ends == 1; }));
        }
        CHECK(eventually([&] { return watched.expired(); }));
    }
}

TEST_CASE("what a callback throws at the end is thrown by image, which waits for it") {
    aptp::Runtime runtime("here");
    for (int count = 0; count < 20; ++count) {
        aptp::RequestOptions options;
        options.on_event = [](const aptp_event& event) {
            if (event.kind != APTP_EVENT_ENDED) return;
            std::this_thread::sleep_for(std::chrono::milliseconds(2));
            throw std::runtime_error("from the callback");
        };
        CHECK_THROWS_WITH(runtime.generate("fives", options), "from the callback");
    }
}

TEST_CASE("a runtime that another replaces is closed before its log is destroyed") {
    struct Log {
        std::string prefix = std::string(64, 'p');
        std::atomic<bool>* heard;
        std::atomic<bool>* entered;
        void operator()(aptp_level, const char* message) const {
            *entered = true;
            std::this_thread::sleep_for(std::chrono::milliseconds(100));
            *heard = prefix + message == std::string(64, 'p') + "running failed: broken";
        }
    };
    std::atomic<bool> heard = false, entered = false;
    aptp::OpenOptions options;
    options.on_log = Log{std::string(64, 'p'), &heard, &entered};
    aptp::Runtime runtime("here", options);
    aptp::RequestOptions wanted;
    wanted.code = "dense";
    const aptp::Request request = runtime.submit("fives", wanted);
    REQUIRE(eventually([&] { return entered.load(); }));
    runtime = aptp::Runtime("there");
    CHECK(heard);
    CHECK(request.poll() == APTP_CLOSED);
    CHECK(made_up::versions() == 1);
}

TEST_CASE("the last owner of a runtime may let go of it in a callback") {
    for (const aptp_event_kind when : {APTP_EVENT_QUEUED, APTP_EVENT_STARTED, APTP_EVENT_ENDED}) {
        CAPTURE(when);
        auto runtime = std::make_shared<aptp::Runtime>("here");
        const auto holder = std::make_shared<std::shared_ptr<aptp::Runtime>>();
        std::atomic<bool> given = false;
        aptp::RequestOptions options;
        options.on_event = [holder, when, &given](const aptp_event& event) {
            while (event.kind != APTP_EVENT_QUEUED && !given) std::this_thread::yield();
            if (event.kind == when) holder->reset();
        };
        aptp::Runtime& alive = *runtime;
        if (when == APTP_EVENT_QUEUED) {  // this thread tells of that, and of the end perhaps, while it submits
            *holder = std::move(runtime);
            given = true;
        }
        const aptp::Request request = alive.submit("fives", options);
        if (when != APTP_EVENT_QUEUED) *holder = std::move(runtime);
        given = true;
        CHECK(request.wait(30));
        CHECK(eventually([] { return made_up::versions() == 0; }));
    }
}

TEST_CASE("what was moved from is refused by name") {
    aptp::Runtime runtime("here");
    aptp::Request request = runtime.submit("fives");
    const aptp::Request moved = std::move(request);
    CHECK_THROWS_WITH_AS(request.image(), "request: NULL was given", aptp::Error);  // NOLINT: that is the test
    CHECK_NOTHROW(moved.image());
    const aptp::Runtime other = std::move(runtime);
    CHECK_THROWS_WITH_AS(runtime.status(), "runtime: NULL was given", aptp::Error);  // NOLINT
}

TEST_CASE("guidance up to 1 is none, and gives the image of 1") {
    aptp::Runtime runtime("here");
    const auto pixels = [&](double guidance) {
        aptp::RequestOptions options;
        options.guidance = guidance;
        options.negative_prompt = "not this";
        const aptp::Image image = runtime.generate("fives", options);
        CHECK(image->guidance == std::max(guidance, 1.0));
        return std::vector<std::uint8_t>(image.pixels(), image.pixels() + 3 * image.height() * image.width());
    };
    const auto off = pixels(1);
    CHECK(pixels(0) == off);
    CHECK(pixels(0.5) == off);
    CHECK(pixels(1.5) != off);
    CHECK(runtime.experts().at(1).rows == 3 * made_up::STEPS + 2 * made_up::STEPS);
}
