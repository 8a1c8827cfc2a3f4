// The C interface over a bundle that is made up: statuses, messages, versions of structs, callbacks, lifetimes.
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cfenv>
#include <chrono>
#include <cstring>
#include <limits>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "../../fakes/models.hpp"
#include "../../fakes/scarcity.hpp"
#include "api/handles.hpp"
#include "aptp.h"

namespace {

std::atomic<bool> held = false;  // calls wait

std::shared_ptr<aptp::Models> opener(const std::string& path, const aptp::ModelsOptions& options) {
    if (path == "nowhere") throw aptp::Failure(aptp::Status::not_a_bundle, "nowhere: is no folder");
    if (path == "odd") throw std::runtime_error("surprise");
    return std::make_shared<fakes::FakeModels>(options.batch.value_or(4), [](const std::string& what) {
        while (what.rfind("call", 0) == 0 && held) std::this_thread::yield();
        if (what == "call dense") throw aptp::Failure(aptp::Status::engine, "broken");
    });
}

// An opened runtime, closed at the end.
struct Opened {
    explicit Opened(const aptp_open_options& options = APTP_OPEN_OPTIONS_INIT) {
        held = false;
        REQUIRE(aptp::api::open("here", &options, &runtime, opener) == APTP_OK);
    }
    ~Opened() {
        held = false;
        CHECK(aptp_close(runtime) == APTP_OK);
    }
    Opened(const Opened&) = delete;
    Opened& operator=(const Opened&) = delete;

    aptp_request* submit(const char* prompt = "fives", const aptp_request_options* options = nullptr) const {
        aptp_request* request = nullptr;
        REQUIRE(aptp_submit(runtime, prompt, options, &request) == APTP_OK);
        return request;
    }

    aptp_runtime* runtime = nullptr;
};

std::string error() { return aptp_error(); }

// What a callback heard.
struct Heard {
    std::vector<aptp_event_kind> kinds;
    std::vector<aptp_status> refused;  // what waiting and closing gave
    aptp_status status = APTP_PENDING;
    std::string message;
    std::int64_t done = 0;
    bool has_preview = false;
};

void hear(void* user, const aptp_event* event) {
    auto* heard = static_cast<Heard*>(user);
    heard->kinds.push_back(event->kind);
    if (event->kind == APTP_EVENT_STEP) {
        heard->done = event->done;
        heard->has_preview = heard->has_preview || event->preview != nullptr;
    }
    if (event->kind == APTP_EVENT_ENDED) {
        heard->status = event->status;
        heard->message = event->message;
    }
}

}  // namespace

TEST_CASE("an image by the C interface") {
    const Opened opened;
    aptp_request* request = opened.submit();
    CHECK(aptp_wait(request, APTP_FOREVER) == APTP_OK);
    aptp_image image = APTP_IMAGE_INIT;
    REQUIRE(aptp_result(request, &image) == APTP_OK);
    CHECK(image.height == 16);
    CHECK(image.width == 16);
    CHECK(std::string(image.expert) == "1");
    CHECK(image.code == 1);
    CHECK(image.margin == 0.25);
    CHECK(image.distance != image.distance);
    CHECK(std::string(image.solver) == "fake");
    CHECK(image.steps == fakes::STEPS);
    CHECK(image.seeded == 1);
    aptp_progress progress = APTP_PROGRESS_INIT;
    CHECK(aptp_poll(request, &progress) == APTP_OK);
    CHECK(progress.started == 1);
    CHECK(progress.done == fakes::STEPS);
    CHECK(progress.total == fakes::STEPS);
    const std::uint8_t* png = nullptr;
    std::size_t size = 0;
    REQUIRE(aptp_png(request, &png, &size) == APTP_OK);
    CHECK(std::memcmp(png, "\x89PNG", 4) == 0);
    const std::string bytes(reinterpret_cast<const char*>(png), size);
    CHECK(bytes.find("\"expert\":\"1\"") != std::string::npos);
    const char* described = nullptr;
    REQUIRE(aptp_describe(request, &described) == APTP_OK);
    CHECK(std::string(described).rfind("{\"prompt\":\"fives\",\"seed\":0,\"expert\":\"1\",\"code\":1,", 0) == 0);
    CHECK(aptp_describe(request, nullptr) == APTP_USAGE_ERROR);
    aptp_release(request);
    CHECK(aptp_describe(request, &described) == APTP_USAGE_ERROR);
    CHECK(described == nullptr);
}

TEST_CASE("failures have a status, and a message for the thread") {
    aptp_runtime* runtime = nullptr;
    CHECK(aptp::api::open("nowhere", nullptr, &runtime, opener) == APTP_NOT_A_BUNDLE);
    CHECK(error() == "nowhere: is no folder");
    CHECK(runtime == nullptr);
    CHECK(aptp::api::open("odd", nullptr, &runtime, opener) == APTP_FAILURE);
    CHECK(error() == "failed unforeseen: surprise");
    CHECK(aptp::api::open(nullptr, nullptr, &runtime, opener) == APTP_USAGE_ERROR);
    CHECK(error() == "path: NULL was given");
    aptp_open_options options = APTP_OPEN_OPTIONS_INIT;
    options.max_running = 0;
    CHECK(aptp::api::open("here", &options, &runtime, opener) == APTP_USAGE_ERROR);
    CHECK(error() == "max_running 0: give an integer of at least 1");
    std::thread([] { CHECK(error().empty()); }).join();
    CHECK(aptp_submit(nullptr, "x", nullptr, nullptr) == APTP_USAGE_ERROR);
    CHECK(aptp_poll(nullptr, nullptr) == APTP_USAGE_ERROR);
    CHECK(aptp_close(nullptr) == APTP_OK);
    aptp_release(nullptr);
}

TEST_CASE("requests outside the limits are refused") {
    const Opened opened;
    const auto refused = [&](auto change) {
        aptp_request_options options = APTP_REQUEST_OPTIONS_INIT;
        change(options);
        aptp_request* request = reinterpret_cast<aptp_request*>(1);
        const aptp_status status = aptp_submit(opened.runtime, "fives", &options, &request);
        CHECK(request == nullptr);
        return status;
    };
    using Options = aptp_request_options;
    CHECK(refused([](Options& options) { options.guidance = -1; }) == APTP_USAGE_ERROR);
    CHECK(refused([](Options& options) { options.guidance = NAN; }) == APTP_USAGE_ERROR);
    CHECK(refused([](Options& options) { options.steps = 0; }) == APTP_USAGE_ERROR);
    CHECK(refused([](Options& options) { options.height = 17; }) == APTP_USAGE_ERROR);
    CHECK(refused([](Options& options) { options.priority = 2; }) == APTP_USAGE_ERROR);
    CHECK(refused([](Options& options) { options.deadline = 0; }) == APTP_USAGE_ERROR);
    CHECK(refused([](Options& options) { options.previews = -1; }) == APTP_USAGE_ERROR);
    CHECK(refused([](Options& options) { options.wants = 4; }) == APTP_USAGE_ERROR);
    CHECK(refused([](Options& options) { options.solver = "none"; }) == APTP_USAGE_ERROR);
    CHECK(refused([](Options& options) { options.negative_prompt = "\xff"; }) == APTP_USAGE_ERROR);
    CHECK(refused([](Options& options) { options.code = "2"; }) == APTP_CODE_UNAVAILABLE);
    aptp_runtime_status status = APTP_RUNTIME_STATUS_INIT;
    CHECK(aptp_get_status(opened.runtime, &status) == APTP_OK);
    CHECK(status.admitted == 0);
}

TEST_CASE("structs of other ages") {
    const Opened opened;
    struct Newer {
        aptp_request_options known = APTP_REQUEST_OPTIONS_INIT;
        std::int64_t unknown = 0;
    } newer;
    newer.known.size = sizeof newer;
    aptp_request* request = nullptr;
    CHECK(aptp_submit(opened.runtime, "fives", &newer.known, &request) == APTP_OK);
    aptp_release(request);
    newer.unknown = 1;
    CHECK(aptp_submit(opened.runtime, "fives", &newer.known, &request) == APTP_USAGE_ERROR);
    CHECK(error().find("does not know yet") != std::string::npos);
    aptp_open_options older = APTP_OPEN_OPTIONS_INIT;
    older.size = offsetof(aptp_open_options, precision);
    older.precision = "beyond its end";
    const Opened by_older(older);
    aptp_request_options small{};
    CHECK(aptp_submit(opened.runtime, "fives", &small, &request) == APTP_USAGE_ERROR);
    CHECK(error().find("begin with its APTP_..._INIT") != std::string::npos);

    struct NewerRoute {
        aptp_route known = APTP_ROUTE_INIT;
        std::int64_t unknown = 7;
    } route;
    route.known.size = sizeof route;
    CHECK(aptp_route_prompt(opened.runtime, "fives", &route.known) == APTP_OK);
    CHECK(route.known.code == 1);
    CHECK(route.known.size == sizeof route);
    CHECK(route.unknown == 7);
}

TEST_CASE("a callback hears of everything once, in order") {
    const Opened opened;
    Heard heard;
    aptp_request_options options = APTP_REQUEST_OPTIONS_INIT;
    options.on_event = hear;
    options.user = &heard;
    options.wants = APTP_WANT_STEPS;
    options.previews = 2;
    aptp_request* request = opened.submit("fives", &options);
    CHECK(aptp_wait(request, APTP_FOREVER) == APTP_OK);
    aptp_release(request);  // waits for the callback
    std::vector<aptp_event_kind> wanted(2 + fakes::STEPS + 1, APTP_EVENT_STEP);
    wanted[0] = APTP_EVENT_QUEUED;
    wanted[1] = APTP_EVENT_STARTED;
    wanted.back() = APTP_EVENT_ENDED;
    CHECK(heard.kinds == wanted);
    CHECK(heard.done == fakes::STEPS);
    CHECK(heard.has_preview);
    CHECK(heard.status == APTP_OK);
}

TEST_CASE("a callback may take its request back, and must not wait") {
    const Opened opened;
    Heard heard;
    aptp_request_options options = APTP_REQUEST_OPTIONS_INIT;
    options.user = &heard;
    options.on_event = [](void* user, const aptp_event* event) {
        hear(user, event);
        if (event->kind != APTP_EVENT_STARTED) return;
        auto* refused = &static_cast<Heard*>(user)->refused;
        refused->push_back(aptp_wait(event->request, APTP_FOREVER));
        refused->push_back(aptp_close(reinterpret_cast<aptp_runtime*>(1)));
        refused->push_back(aptp_drain(reinterpret_cast<aptp_runtime*>(1), 0));
        CHECK(aptp_cancel(event->request) == APTP_OK);
    };
    aptp_request* request = opened.submit("fives", &options);
    CHECK(aptp_wait(request, APTP_FOREVER) == APTP_CANCELLED);
    CHECK(error() == "the request was cancelled");
    aptp_image image = APTP_IMAGE_INIT;
    CHECK(aptp_result(request, &image) == APTP_CANCELLED);
    aptp_release(request);
    CHECK(heard.kinds == std::vector{APTP_EVENT_QUEUED, APTP_EVENT_STARTED, APTP_EVENT_ENDED});
    CHECK(heard.refused == std::vector(3, APTP_USAGE_ERROR));
    CHECK(heard.message == "the request was cancelled");
}

TEST_CASE("a request may be taken back or released in any of its events, and hears of its end once") {
    const Opened opened;
    for (const bool releases : {true, false}) {
        for (const aptp_event_kind when : {APTP_EVENT_QUEUED, APTP_EVENT_STARTED, APTP_EVENT_STEP, APTP_EVENT_ENDED}) {
            CAPTURE(releases);
            CAPTURE(when);
            struct Once {
                const bool releases;
                const aptp_event_kind when;
                bool done = false;
                bool inside = false;
                std::atomic<int> ends{0};
            } once{releases, when};
            aptp_request_options options = APTP_REQUEST_OPTIONS_INIT;
            options.wants = APTP_WANT_STEPS;
            options.user = &once;
            options.on_event = [](void* user, const aptp_event* event) {
                auto* state = static_cast<Once*>(user);
                CHECK_FALSE(state->inside);
                state->inside = true;
                if (event->kind == state->when && !state->done) {
                    state->done = true;
                    if (state->releases) {
                        aptp_release(event->request);
                        CHECK(aptp_poll(event->request, nullptr) == APTP_USAGE_ERROR);
                    } else {
                        CHECK(aptp_cancel(event->request) == APTP_OK);
                    }
                }
                state->inside = false;
                if (event->kind == APTP_EVENT_ENDED) ++state->ends;
            };
            aptp_request* request = nullptr;
            CHECK(aptp_submit(opened.runtime, "fives", &options, &request) == APTP_OK);
            while (once.ends == 0) std::this_thread::yield();
            if (!releases) aptp_release(request);
        }
    }
    CHECK(aptp_drain(opened.runtime, APTP_FOREVER) == APTP_OK);
}

TEST_CASE("callbacks may release each other's requests") {
    const Opened opened;
    struct Pair {
        std::atomic<aptp_request*> requests[2] = {nullptr, nullptr};
        std::atomic<int> inside{0};
        std::atomic<int> ends{0};
    } pair;
    struct Side {
        Pair* pair;
        int number;
        aptp_event_kind when;  // told by different threads, so both are in their callbacks at once
        bool done;
    } sides[] = {{&pair, 0, APTP_EVENT_STEP, false}, {&pair, 1, APTP_EVENT_STARTED, false}};
    aptp_request_options options = APTP_REQUEST_OPTIONS_INIT;
    options.wants = APTP_WANT_STEPS;
    options.on_event = [](void* user, const aptp_event* event) {
        Side& side = *static_cast<Side*>(user);
        if (event->kind == side.when && !side.done) {
            side.done = true;
            ++side.pair->inside;
            while (side.pair->inside < 2 || side.pair->requests[1 - side.number] == nullptr) std::this_thread::yield();
            aptp_release(side.pair->requests[1 - side.number].exchange(nullptr));
        }
        if (event->kind == APTP_EVENT_ENDED) ++side.pair->ends;
    };
    for (Side& side : sides) {
        options.user = &side;
        pair.requests[side.number] = opened.submit("fives", &options);
    }
    while (pair.ends < 2) std::this_thread::yield();
    aptp_request* bystander = opened.submit();
    CHECK(aptp_wait(bystander, APTP_FOREVER) == APTP_OK);
    aptp_release(bystander);
}

TEST_CASE("a runtime that gets no thread says so, and serves when it gets one") {
    const Opened opened;
    aptp_request* request = nullptr;
    aptp_runtime_status status = APTP_RUNTIME_STATUS_INIT;
    {
        const fakes::Scarcity scarcity;
        CHECK(aptp_submit(opened.runtime, "fives", nullptr, &request) == APTP_UNAVAILABLE);
    }
    const std::string why = error();
    CHECK(why.find("gives this process no more threads") != std::string::npos);
    CHECK(request == nullptr);
    REQUIRE(aptp_get_status(opened.runtime, &status) == APTP_OK);
    REQUIRE(status.trouble != nullptr);
    CHECK(status.trouble == why);
    request = opened.submit();
    CHECK(aptp_wait(request, APTP_FOREVER) == APTP_OK);
    aptp_release(request);
    REQUIRE(aptp_get_status(opened.runtime, &status) == APTP_OK);
    CHECK(status.trouble == nullptr);
}

TEST_CASE("waiting ends after the last callback has returned") {
    const Opened opened;
    for (int round = 0; round < 20; ++round) {
        int told = 0;  // no atomic: waiting orders it
        aptp_request_options options = APTP_REQUEST_OPTIONS_INIT;
        options.user = &told;
        options.on_event = [](void* user, const aptp_event* event) {
            if (event->kind != APTP_EVENT_ENDED) return;
            CHECK(aptp_wait(event->request, APTP_FOREVER) == APTP_OK);  // it has ended, so nothing is waited for
            std::this_thread::sleep_for(std::chrono::milliseconds(2));
            *static_cast<int*>(user) = 1;
        };
        aptp_request* request = opened.submit("fives", &options);
        CHECK(aptp_wait(request, APTP_FOREVER) == APTP_OK);
        CHECK(told == 1);
        aptp_release(request);
    }
}

TEST_CASE("a callback that throws costs its own request, and the log hears of it") {
    struct Log {
        std::mutex mutex;
        std::vector<std::string> lines;
    } log;
    aptp_open_options logged = APTP_OPEN_OPTIONS_INIT;
    logged.user = &log;
    logged.on_log = [](void* user, aptp_level, const char* message) {
        auto* kept = static_cast<Log*>(user);
        const std::lock_guard lock(kept->mutex);
        kept->lines.emplace_back(message);
        throw std::runtime_error("must not");
    };
    const Opened opened(logged);
    aptp_request_options options = APTP_REQUEST_OPTIONS_INIT;
    options.on_event = [](void*, const aptp_event* event) {
        if (event->kind == APTP_EVENT_STARTED) throw std::runtime_error("surprise");
        if (event->kind == APTP_EVENT_ENDED) throw 7;
    };
    aptp_request* request = opened.submit("fives", &options);
    aptp_request* other = opened.submit();
    CHECK(aptp_wait(request, APTP_FOREVER) == APTP_CANCELLED);
    CHECK(aptp_wait(other, APTP_FOREVER) == APTP_OK);
    aptp_release(request);
    aptp_release(other);
    const std::lock_guard lock(log.mutex);
    const std::string said = "a callback threw, so its request is taken back: ";
    CHECK(log.lines == std::vector{said + "surprise", said + "what is no exception"});
}

TEST_CASE("arithmetic is the usual one, whatever that of the program is") {
    static std::atomic<int> rounding = -1;
    aptp_runtime* runtime = nullptr;
    std::fesetround(FE_UPWARD);
    const aptp_status opened = aptp::api::open("here", nullptr, &runtime, [](const auto&, const auto&) {
        return std::shared_ptr<aptp::Models>(std::make_shared<fakes::FakeModels>(4, [](const std::string& what) {
            if (what.rfind("call", 0) == 0) rounding = std::fegetround();
        }));
    });
    REQUIRE(opened == APTP_OK);
    aptp_request* request = nullptr;
    CHECK(aptp_submit(runtime, "fives", nullptr, &request) == APTP_OK);
    CHECK(aptp_wait(request, APTP_FOREVER) == APTP_OK);
    CHECK(std::fegetround() == FE_UPWARD);
    std::fesetround(FE_TONEAREST);
    CHECK(rounding == FE_TONEAREST);
    aptp_release(request);
    CHECK(aptp_close(runtime) == APTP_OK);
}

TEST_CASE("previews and latents ask for steps") {
    const Opened opened;
    for (const std::uint32_t wants : {0U, APTP_WANT_LATENTS}) {
        Heard heard;
        aptp_request_options options = APTP_REQUEST_OPTIONS_INIT;
        options.on_event = hear;
        options.user = &heard;
        options.wants = wants;
        options.previews = wants == 0 ? 2 : 0;
        aptp_request* request = opened.submit("fives", &options);
        CHECK(aptp_wait(request, APTP_FOREVER) == APTP_OK);
        aptp_release(request);
        CHECK(heard.done == fakes::STEPS);
        CHECK(heard.has_preview == (wants == 0));
    }
}

TEST_CASE("limits may be as large as numbers are, and threads not more than any machine has") {
    constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
    for (const std::int64_t limit : {most, most / 2, most / 4 + 1, std::int64_t{1}}) {
        CAPTURE(limit);
        for (auto member : {&aptp_open_options::max_queued, &aptp_open_options::max_running, &aptp_open_options::batch,
                            &aptp_open_options::memory}) {
            aptp_open_options options = APTP_OPEN_OPTIONS_INIT;
            options.*member = member == &aptp_open_options::memory ? std::max<std::int64_t>(limit, 1000) : limit;
            const Opened opened(options);
            aptp_runtime_status status = APTP_RUNTIME_STATUS_INIT;
            CHECK(aptp_get_status(opened.runtime, &status) == APTP_OK);
            CHECK(status.max_running >= 1);
            CHECK(status.max_queued >= 1);
            aptp_request* request = opened.submit();
            CHECK(aptp_wait(request, APTP_FOREVER) == APTP_OK);
            aptp_release(request);
        }
    }
    for (const std::int64_t threads : {std::int64_t{0}, std::int64_t{-1}, std::int64_t{4097}, std::int64_t{1} << 31,
                                       (std::int64_t{1} << 32) + 1, most}) {
        const std::string remedy = threads < 1 ? "of at least 1" : "from 1 to 4096";
        aptp_open_options options = APTP_OPEN_OPTIONS_INIT;
        options.threads = threads;
        aptp_runtime* runtime = nullptr;
        CHECK(aptp_open("here", &options, &runtime) == APTP_USAGE_ERROR);
        CHECK(error() == "threads " + std::to_string(threads) + ": give an integer " + remedy);
    }
}

TEST_CASE("waiting for a while, releasing what runs, closing before releasing") {
    aptp_request* running = nullptr;
    aptp_request* waiting = nullptr;
    {
        aptp_open_options options = APTP_OPEN_OPTIONS_INIT;
        options.max_running = 1;
        options.max_queued = 1;
        const Opened opened(options);
        held = true;
        running = opened.submit();
        waiting = opened.submit();
        CHECK(aptp_wait(running, 0.01) == APTP_PENDING);
        CHECK(aptp_wait(running, -1) == APTP_PENDING);
        CHECK(aptp_wait(running, NAN) == APTP_USAGE_ERROR);
        aptp_request* third = nullptr;
        CHECK(aptp_submit(opened.runtime, "x", nullptr, &third) == APTP_QUEUE_FULL);
        CHECK(aptp_retry_after() == 1.0);
        CHECK(third == nullptr);
        aptp_release(running);
        third = opened.submit();
        held = false;
        CHECK(aptp_wait(third, APTP_FOREVER) == APTP_OK);
        aptp_release(third);
        CHECK(aptp_wait(waiting, APTP_FOREVER) == APTP_OK);
        aptp_release(waiting);
        held = true;
        running = opened.submit();
        waiting = opened.submit();
        std::thread([] {
            std::this_thread::sleep_for(std::chrono::milliseconds(50));
            held = false;
        }).detach();
        CHECK(aptp_drain(opened.runtime, 0.01) == APTP_DEADLINE_EXCEEDED);
    }
    CHECK(aptp_poll(running, nullptr) == APTP_CLOSED);
    CHECK(aptp_wait(waiting, APTP_FOREVER) == APTP_CLOSED);
    CHECK(aptp_cancel(waiting) == APTP_OK);
    aptp_release(running);
    aptp_release(waiting);
}

TEST_CASE("handles that were closed or released are refused, and come no second time") {
    aptp_runtime* runtime = nullptr;
    REQUIRE(aptp::api::open("here", nullptr, &runtime, opener) == APTP_OK);
    aptp_request* request = nullptr;
    REQUIRE(aptp_submit(runtime, "fives", nullptr, &request) == APTP_OK);
    CHECK(aptp_wait(request, APTP_FOREVER) == APTP_OK);
    aptp_release(request);
    aptp_release(request);
    CHECK(error() == "request: the handle is none, or was closed or released before");
    aptp_image image = APTP_IMAGE_INIT;
    const std::uint8_t* bytes = nullptr;
    std::size_t size = 0;
    CHECK(aptp_poll(request, nullptr) == APTP_USAGE_ERROR);
    CHECK(aptp_wait(request, 0) == APTP_USAGE_ERROR);
    CHECK(aptp_cancel(request) == APTP_USAGE_ERROR);
    CHECK(aptp_result(request, &image) == APTP_USAGE_ERROR);
    CHECK(aptp_png(request, &bytes, &size) == APTP_USAGE_ERROR);
    CHECK(aptp_poll(reinterpret_cast<aptp_request*>(runtime), nullptr) == APTP_USAGE_ERROR);

    CHECK(aptp_close(runtime) == APTP_OK);
    CHECK(aptp_close(runtime) == APTP_USAGE_ERROR);
    CHECK(error() == "runtime: the handle is none, or was closed or released before");
    aptp_request* second = request;
    CHECK(aptp_submit(runtime, "fives", nullptr, &second) == APTP_USAGE_ERROR);
    CHECK(second == nullptr);
    CHECK(aptp_info(runtime, nullptr) == APTP_USAGE_ERROR);
    CHECK(aptp_drain(runtime, 0) == APTP_USAGE_ERROR);
    const Opened opened;
    CHECK(opened.runtime != runtime);
}

TEST_CASE("eight threads share a runtime and a request, and any of them closes it") {
    for (int round = 0; round < 20; ++round) {
        aptp_runtime* runtime = nullptr;
        REQUIRE(aptp::api::open("here", nullptr, &runtime, opener) == APTP_OK);
        aptp_request* shared = nullptr;
        REQUIRE(aptp_submit(runtime, "fives", nullptr, &shared) == APTP_OK);
        std::atomic<int> closed = 0;
        std::atomic<int> odd = 0;
        std::vector<std::thread> threads;
        for (int thread = 0; thread < 8; ++thread) {
            threads.emplace_back([&, thread] {
                aptp_request* own = nullptr;
                const aptp_status let_in = aptp_submit(runtime, "fives", nullptr, &own);
                if (let_in == APTP_OK) {
                    const aptp_status end = aptp_wait(own, APTP_FOREVER);
                    if (end != APTP_OK && end != APTP_CLOSED) ++odd;
                    aptp_release(own);
                } else if (let_in != APTP_USAGE_ERROR && let_in != APTP_CLOSED) {
                    ++odd;
                }
                aptp_wait(shared, 0.001);
                aptp_progress progress = APTP_PROGRESS_INIT;
                aptp_poll(shared, &progress);
                if (thread % 2 == 0) aptp_cancel(shared);
                if (thread % 3 == 0) aptp_release(shared);
                if (aptp_close(runtime) == APTP_OK) ++closed;
            });
        }
        for (std::thread& thread : threads) thread.join();
        CHECK(closed == 1);
        CHECK(odd == 0);
        CHECK(aptp_poll(shared, nullptr) == APTP_USAGE_ERROR);
    }
}

TEST_CASE("what an expert fails with is told, and the log hears of it") {
    struct Log {
        std::vector<std::string> lines;
    } log;
    aptp_open_options options = APTP_OPEN_OPTIONS_INIT;
    options.user = &log;
    options.on_log = [](void* user, aptp_level level, const char* message) {
        static_cast<Log*>(user)->lines.push_back(std::to_string(level) + " " + message);
    };
    const Opened opened(options);
    aptp_request_options asked = APTP_REQUEST_OPTIONS_INIT;
    asked.code = "dense";
    aptp_request* request = opened.submit("x", &asked);
    CHECK(aptp_wait(request, APTP_FOREVER) == APTP_ENGINE_FAILURE);
    CHECK(error() == "broken");
    aptp_release(request);
    CHECK(log.lines == std::vector<std::string>{"1 running failed: broken"});
}

TEST_CASE("what a runtime offers, and how it is doing") {
    const Opened opened;
    aptp_bundle_info info = APTP_BUNDLE_INFO_INIT;
    REQUIRE(aptp_info(opened.runtime, &info) == APTP_OK);
    CHECK(std::string(info.engine) == "fake");
    CHECK(info.experts == 3);
    CHECK(info.height == 16);
    CHECK(info.multiple == 8);
    CHECK(info.latents_channels == 4);
    aptp_request* request = opened.submit();
    CHECK(aptp_wait(request, APTP_FOREVER) == APTP_OK);
    aptp_release(request);
    aptp_expert_status expert = APTP_EXPERT_STATUS_INIT;
    REQUIRE(aptp_expert(opened.runtime, 1, &expert) == APTP_OK);
    CHECK(std::string(expert.name) == "1");
    CHECK(expert.state == APTP_EXPERT_RESIDENT);
    CHECK(expert.images == 1);
    CHECK(expert.calls == fakes::STEPS);
    CHECK(expert.rows == 2 * fakes::STEPS);
    CHECK(aptp_expert(opened.runtime, 3, &expert) == APTP_USAGE_ERROR);
    CHECK(aptp_free_engines(opened.runtime) == APTP_OK);
    REQUIRE(aptp_expert(opened.runtime, 1, &expert) == APTP_OK);
    CHECK(expert.state == APTP_EXPERT_ABSENT);
    aptp_runtime_status status = APTP_RUNTIME_STATUS_INIT;
    CHECK(aptp_get_status(opened.runtime, &status) == APTP_OK);
    CHECK(status.finished == 1);
    CHECK(status.memory_used == 0);
    CHECK(status.last_call == 1);
    CHECK(aptp_reload(opened.runtime, "nowhere") == APTP_NOT_A_BUNDLE);
    CHECK(aptp_reload(opened.runtime, nullptr) == APTP_OK);
}

TEST_CASE("every status has a name") {
    for (int status = APTP_PENDING; status <= APTP_FORKED; ++status) {
        CHECK(std::string(aptp_status_name(static_cast<aptp_status>(status))) != "unknown");
    }
    CHECK(std::string(aptp_status_name(static_cast<aptp_status>(APTP_FORKED + 1))) == "unknown");
    CHECK(aptp_abi() == APTP_ABI);
}
