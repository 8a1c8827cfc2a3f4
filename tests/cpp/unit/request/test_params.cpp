#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "errors.hpp"
#include "request/params.hpp"

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
    const aptp::ResolvedParams resolved = aptp::GenerationParams().resolve(manifest());
    CHECK(resolved.solver == "ddim");
    CHECK(resolved.steps == 25);
    CHECK(resolved.guidance == 7.5);
    CHECK(resolved.is_guided());
    CHECK(resolved.height == 128);
    CHECK(resolved.width == 192);
    CHECK(resolved.shape == std::array<std::int64_t, 3>{4, 16, 24});
    CHECK(resolved.seed == 0);
    CHECK(resolved.latents.empty());
    CHECK_FALSE(resolved.expert);
}

TEST_CASE("guidance of 1 or less is none") {
    for (const double asked : {0.0, 0.5, 1.0, 1.5}) {
        aptp::GenerationParams params;
        params.guidance = asked;
        CHECK(params.resolve(manifest()).guidance == std::max(asked, 1.0));
        CHECK(params.resolve(manifest()).is_guided() == (asked > 1));
        aptp::Manifest unguided = manifest();
        unguided.defaults.guidance = asked;
        CHECK(aptp::GenerationParams().resolve(unguided).guidance == std::max(asked, 1.0));
    }
}

TEST_CASE("refusals name value, range and remedy") {
    const auto asked = [](auto set) {
        aptp::GenerationParams params;
        set(params);
        return params.resolve(manifest());
    };
    CHECK_THROWS_WITH_AS(asked([](auto& params) { params.solver = "ddin"; }),
                         "solver 'ddin': this bundle has ddim, plms (did you mean 'ddim'?)", Failure);
    CHECK_THROWS_WITH_AS(asked([](auto& params) { params.height = 120; }),
                         "height 120: give a multiple of 32 from 64 to 512 pixels", Failure);
    CHECK_THROWS_WITH_AS(asked([](auto& params) { params.width = 1024; }),
                         "width 1024: give a multiple of 32 from 64 to 512 pixels", Failure);
    CHECK_THROWS_WITH_AS(asked([](auto& params) { params.guidance = 1000.5; }),
                         "guidance 1000.5: give a number from 0 to 1000; 1 or less switches guidance off", Failure);
    CHECK_THROWS_AS(asked([](auto& params) { params.negative_prompt = "\xff"; }), Failure);
    for (const double guidance :
         {-0.1, 1000.5, std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
        CHECK_THROWS_AS(asked([&](auto& params) { params.guidance = guidance; }), Failure);
    }
}

TEST_CASE("what a caller in C leaves out is the bundle's default") {
    aptp_request_options asked = APTP_REQUEST_OPTIONS_INIT;
    CHECK(aptp::GenerationParams::of(asked).resolve(manifest()).recorded().dump() ==
          aptp::GenerationParams().resolve(manifest()).recorded().dump());
    asked.steps = 3;
    asked.guidance = 1;
    asked.solver = "plms";
    asked.seed = 7;
    CHECK(aptp::GenerationParams::of(asked).resolve(manifest()).recorded().dump() ==
          R"({"seed":7,"solver":"plms","steps":3,"guidance":1.0,"height":128,"width":192,"negative_prompt":""})");
}

TEST_CASE("a code is one of the bundle's") {
    const auto expert = [](const char* code) {
        aptp::GenerationParams params;
        params.code = code;
        return params.resolve(manifest()).expert;
    };
    CHECK(expert("0") == "0");
    CHECK(expert("dense") == "dense");
    CHECK_THROWS_WITH_AS(expert("4"), "code 4: give an integer from 0 to 3, or 'dense'", Failure);
    for (const char* code : {"-1", "", "x", "1x", "99999999999999999999"}) {
        CHECK_THROWS_WITH_AS(
            expert(code), ("code " + aptp::repr(code) + ": give an integer from 0 to 3, or 'dense'").c_str(), Failure);
    }
    try {
        expert("1");
        FAIL("there is no such expert");
    } catch (const Failure& failure) {
        CHECK(failure.status() == aptp::Status::code_unavailable);
    }
}

TEST_CASE("start latents are of the right shape, and finite") {
    std::vector<float> values(24, 0.5F);
    CHECK_NOTHROW(aptp::check_latents({{2, 3, 4}, values.data()}, {2, 3, 4}));
    CHECK_THROWS_WITH_AS(aptp::check_latents({{3, 2, 4}, values.data()}, {2, 3, 4}),
                         "latents of shape (3, 2, 4): give (2, 3, 4), or another size", Failure);
    values[23] = std::numeric_limits<float>::infinity();
    CHECK_THROWS_AS(aptp::check_latents({{2, 3, 4}, values.data()}, {2, 3, 4}), Failure);
}

TEST_CASE("start latents replace the seed, and give the size where none is asked") {
    const std::vector<float> values(4 * 8 * 12, 0.5F);
    aptp::GenerationParams params;
    params.seed = 7;
    params.latents = aptp::StartLatents{{4, 8, 12}, values.data()};
    const aptp::ResolvedParams resolved = params.resolve(manifest());
    CHECK(resolved.height == 64);
    CHECK(resolved.width == 96);
    CHECK_FALSE(resolved.seed);
    CHECK(resolved.latents == values);
    params.width = 64;
    CHECK_THROWS_WITH_AS(params.resolve(manifest()), "latents of shape (4, 8, 12): give (4, 16, 8), or another size",
                         Failure);
}
