// What a bundle can be asked for: engines, solvers and their steps.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "../../fakes/models.hpp"
#include "api/handles.hpp"
#include "aptp.h"

namespace {

std::shared_ptr<aptp::Models> opener(const std::string&, const aptp::ModelsOptions&) {
    return std::make_shared<fakes::FakeModels>();
}

}  // namespace

TEST_CASE("engines say what they lack, and solvers which numbers of steps they offer") {
    aptp_runtime* runtime = nullptr;
    REQUIRE(aptp::api::open("here", nullptr, &runtime, opener) == APTP_OK);
    aptp_bundle_info info = APTP_BUNDLE_INFO_INIT;
    REQUIRE(aptp_info(runtime, &info) == APTP_OK);
    REQUIRE(info.engines == 2);
    REQUIRE(info.solvers == 1);
    aptp_engine_info engine = APTP_ENGINE_INFO_INIT;
    REQUIRE(aptp_engine(runtime, 0, &engine) == APTP_OK);
    CHECK(std::string(engine.name) == "fake");
    CHECK(engine.missing == nullptr);
    REQUIRE(aptp_engine(runtime, 1, &engine) == APTP_OK);
    CHECK(std::string(engine.name) == "other");
    CHECK(std::string(engine.missing) == "it is not here");
    aptp_solver_info solver = APTP_SOLVER_INFO_INIT;
    REQUIRE(aptp_solver(runtime, 0, &solver) == APTP_OK);
    CHECK(std::string(solver.name) == "fake");
    CHECK(std::vector<std::int64_t>(solver.steps, solver.steps + solver.count) ==
          std::vector<std::int64_t>{2, 3, 4, 5, 6, 7, 8, 9, 10});
    CHECK(aptp_engine(runtime, 2, &engine) == APTP_USAGE_ERROR);
    CHECK(std::string(aptp_error()) == "engine 2: there are 2, from 0");
    CHECK(aptp_solver(runtime, -1, &solver) == APTP_USAGE_ERROR);
    CHECK(aptp_engine(runtime, 0, nullptr) == APTP_USAGE_ERROR);
    // A program that was compiled before there were these members is told of the others.
    info.engines = -7;
    info.size = offsetof(aptp_bundle_info, engines);
    CHECK(aptp_info(runtime, &info) == APTP_OK);
    CHECK(info.engines == -7);
    CHECK(aptp_close(runtime) == APTP_OK);
}
