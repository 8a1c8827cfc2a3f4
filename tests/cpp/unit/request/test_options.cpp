// How a request may be served, and how much a runtime may take.
#include <doctest/doctest.h>

#include <limits>

#include "errors.hpp"
#include "request/limits.hpp"
#include "request/options.hpp"

using aptp::Failure;
using aptp::RequestOptions;

TEST_CASE("what cannot be served is refused") {
    const auto check = [](auto set) {
        RequestOptions options;
        set(options);
        options.check();
    };
    CHECK_NOTHROW(check([](RequestOptions&) {}));
    CHECK_NOTHROW(check([](RequestOptions& options) { options.priority = -1, options.deadline = 0.5; }));
    CHECK_THROWS_WITH_AS(check([](RequestOptions& options) { options.priority = 2; }), "priority 2: give -1, 0 or 1",
                         Failure);
    CHECK_THROWS_WITH_AS(check([](RequestOptions& options) { options.deadline = 0; }),
                         "deadline 0: give a number of seconds above 0", Failure);
    for (const double seconds : {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
        CHECK_THROWS_AS(check([&](RequestOptions& options) { options.deadline = seconds; }), Failure);
    }
    CHECK_THROWS_WITH_AS(check([](RequestOptions& options) { options.previews = -1; }),
                         "previews -1: give an integer of at least 0", Failure);
}

TEST_CASE("previews and latents ask for steps") {
    RequestOptions options;
    CHECK_FALSE(options.tells_steps());
    options.previews = 1;
    CHECK(options.tells_steps());
    options = RequestOptions();
    options.latents = true;
    CHECK(options.tells_steps());
}

TEST_CASE("threads are not more than any machine has") {
    CHECK_NOTHROW(aptp::check_threads(aptp::THREADS));
    CHECK_THROWS_WITH_AS(aptp::check_threads(0), "threads 0: give an integer of at least 1", Failure);
    CHECK_THROWS_WITH_AS(aptp::check_threads(std::numeric_limits<std::int64_t>::max()),
                         "threads 9223372036854775807: give an integer from 1 to 4096", Failure);
}

TEST_CASE("a limit is at least 1") {
    CHECK_NOTHROW(aptp::check_limit(1, "batch"));
    CHECK_THROWS_WITH_AS(aptp::check_limit(0, "batch"), "batch 0: give an integer of at least 1", Failure);
}
