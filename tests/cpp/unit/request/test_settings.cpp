#include <doctest/doctest.h>

#include <limits>

#include "errors.hpp"
#include "request/settings.hpp"

using aptp::Failure;

namespace {

aptp::Manifest manifest() {
    aptp::Manifest found;
    found.defaults = {"ddim", 25, 7.5};
    found.latent = {4, 16, 24, 4, 8, 64};
    found.decoder.scale = 8;
    found.router.codes = 4;
    found.experts = {{"0", {}}, {"dense", {}}};
    found.schedules = {{"ddim", {}}, {"plms", {}}};
    return found;
}

}  // namespace

TEST_CASE("what is not asked is the bundle's default") {
    const aptp::Settings settings = aptp::resolve(manifest(), {});
    CHECK(settings.solver == "ddim");
    CHECK(settings.steps == 25);
    CHECK(settings.guidance == 7.5);
    CHECK(settings.height == 128);
    CHECK(settings.width == 192);
    CHECK(aptp::latents_shape(manifest(), settings) == std::array<std::int64_t, 3>{4, 16, 24});
}

TEST_CASE("refusals name value, range and remedy") {
    const auto asked = [](auto set) {
        aptp::Asked given;
        set(given);
        return aptp::resolve(manifest(), given);
    };
    CHECK_THROWS_WITH_AS(asked([](auto& given) { given.solver = "ddin"; }),
                         "solver 'ddin': this bundle has ddim, plms (did you mean 'ddim'?)", Failure);
    CHECK_THROWS_WITH_AS(asked([](auto& given) { given.height = 120; }),
                         "height 120: give a multiple of 32 from 64 to 512 pixels", Failure);
    for (const double guidance :
         {-0.1, 1000.5, std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
        CHECK_THROWS_AS(asked([&](auto& given) { given.guidance = guidance; }), Failure);
    }
    CHECK_THROWS_WITH_AS(aptp::check_deadline(0), "deadline 0: give a number of seconds above 0", Failure);
    CHECK_THROWS_AS(aptp::check_deadline(std::numeric_limits<double>::quiet_NaN()), Failure);
    CHECK_THROWS_WITH_AS(aptp::check_priority(2), "priority 2: give -1, 0 or 1", Failure);
    CHECK_THROWS_AS(aptp::check_previews(-1), Failure);
    CHECK_THROWS_AS(aptp::check_limit(0, "batch"), Failure);
}

TEST_CASE("a code is one of the bundle's") {
    CHECK(aptp::expert_of_code(manifest(), 0) == "0");
    CHECK_THROWS_WITH_AS(aptp::expert_of_code(manifest(), 4), "code 4: give an integer from 0 to 3, or 'dense'",
                         Failure);
    try {
        aptp::expert_of_code(manifest(), 1);
        FAIL("there is no such expert");
    } catch (const Failure& failure) {
        CHECK(failure.status() == aptp::Status::code_unavailable);
    }
}

TEST_CASE("start latents are of the right shape, and finite") {
    std::vector<float> values(24, 0.5F);
    CHECK_NOTHROW(aptp::check_latents(values.data(), {2, 3, 4}, {2, 3, 4}));
    CHECK_THROWS_WITH_AS(aptp::check_latents(values.data(), {3, 2, 4}, {2, 3, 4}),
                         "latents of shape (3, 2, 4): give (2, 3, 4), or another size", Failure);
    values[23] = std::numeric_limits<float>::infinity();
    CHECK_THROWS_AS(aptp::check_latents(values.data(), {2, 3, 4}, {2, 3, 4}), Failure);
}
