#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "engines/choice.hpp"
#include "engines/compiled.hpp"
#include "engines/graphs.hpp"
#include "engines/providers.hpp"
#include "engines/target.hpp"
#include "errors.hpp"

namespace {

aptp::CompiledEntry entry_for(const aptp::Table<std::string>& target) {
    aptp::CompiledEntry entry;
    entry.kind = "aoti";
    entry.target = target;
    return entry;
}

template <typename Call>
aptp::Failure failure_of(Call call) {
    try {
        call();
    } catch (const aptp::Failure& failure) {
        return failure;
    }
    FAIL("nothing was refused");
    return {aptp::Status::failure, ""};
}

}  // namespace

TEST_CASE("cpu is always there") {
    CHECK(aptp::choose("cpu", {}, {}) == "cpu");
    CHECK_FALSE(aptp::missing(aptp::Provider{"cpu", {}}));
}

TEST_CASE("auto tells the log where it has to do without openvino") {
    std::vector<std::string> lines;
    const aptp::Log log = [&](const std::string& message, bool) { lines.push_back(message); };
    const std::string engine = aptp::choose("auto", {}, {}, log, "amx_bf16");
    CHECK(lines.size() == (engine == "cpu" ? 1 : 0));
    if (engine == "cpu") CHECK(lines[0].rfind("engine auto is 'cpu': 'openvino' cannot be used: ", 0) == 0);
    lines.clear();
    aptp::choose("auto", {}, {}, log, "avx2");
    aptp::choose("cpu", {}, {}, log, "amx_bf16");
    CHECK(lines.empty());
}

TEST_CASE("a GPU by its number is refused where nothing runs on it") {
    const aptp::Place second{"", 999};
    CHECK(aptp::missing_engine("cpu", {}, second) == "it runs on no GPU 999");
    CHECK(aptp::missing_engine("tensorrt", {}, second) == "it runs on no GPU 999");
    CHECK(aptp::missing_engine("cuda", {}, second));
    const aptp::Failure failure = failure_of([&] { aptp::choose("auto", {}, second); });
    CHECK(failure.status() == aptp::Status::environment);
    CHECK(std::string(failure.what()).find("engine 'auto' cannot use GPU 999") == 0);
    CHECK(aptp::engine_names().front() == "auto");
}

TEST_CASE("an unknown engine is refused, and the nearest named") {
    const aptp::Failure failure = failure_of([] { aptp::choose("cpuu", {}, {}); });
    CHECK(failure.status() == aptp::Status::usage);
    CHECK(std::string(failure.what()).find("did you mean 'cpu'?") != std::string::npos);
}

TEST_CASE(
    "a plugin that is not there is refused with its path, and auto does "
    "without") {
    const std::string nowhere = "/nonexistent/libprovider.so";
    const aptp::Failure failure = failure_of([&] { aptp::choose("cuda", {}, {nowhere}); });
    CHECK(failure.status() == aptp::Status::environment);
    CHECK(std::string(failure.what()).find(nowhere) != std::string::npos);
    CHECK(aptp::beside("aoti", {nowhere}) == "cpu");
    CHECK(aptp::beside("cuda", {nowhere}) == "cuda");
}

#ifdef APTP_WITH_OPENVINO
TEST_CASE("openvino serves where it is linked, and auto takes it on processors that compute in bfloat16") {
    CHECK(aptp::choose("openvino", {}, {}) == "openvino");
    if (!aptp::missing_graphs("cuda", {})) return;
    for (const char* processor : {"amx_bf16", "avx512_bf16"}) {
        CHECK(aptp::choose("auto", {}, {}, {}, processor) == "openvino");
    }
    for (const char* processor : {"avx512f", "avx2", "baseline"}) {
        CHECK(aptp::choose("auto", {}, {}, {}, processor) == "cpu");
    }
}
#else
TEST_CASE("a build without openvino says so, and auto does without") {
    const aptp::Failure failure = failure_of([] { aptp::choose("openvino", {}, {}); });
    CHECK(failure.status() == aptp::Status::environment);
    CHECK(std::string(failure.what()) ==
          "engine 'openvino' cannot be used: this build runs nothing on OpenVINO (APTP_WITH_OPENVINO is off); use "
          "'cpu' or 'auto'");
    if (aptp::missing_graphs("cuda", {})) CHECK(aptp::choose("auto", {}, {}) == "cpu");
}
#endif

TEST_CASE("decoders run beside experts, on what runs graphs") {
    CHECK(aptp::beside("cpu", {}) == "cpu");
    CHECK(aptp::beside("openvino", {}) == "cpu");
    CHECK(aptp::beside("tensorrt-ep", {}) == "tensorrt-ep");
}

TEST_CASE(
    "a compiled engine that the bundle lacks, or that this build cannot "
    "open, is refused") {
    aptp::Manifest manifest;
    manifest.experts["0"] = {};
    for (const char* kind : {"aoti", "tensorrt", "supernet"}) {
        CHECK(failure_of([&] { aptp::choose(kind, manifest, {}); }).status() == aptp::Status::environment);
    }
}

TEST_CASE("this machine is the one it tells of, and no other") {
    const auto here = aptp::facts("cpu");
    REQUIRE(here.count("architecture") == 1);
    const std::string architecture = here.find("architecture")->second;
    CHECK_FALSE(aptp::mismatch(entry_for({{"device", "cpu"}, {"architecture", architecture}})));
    const auto other = aptp::mismatch(entry_for({{"device", "cpu"}, {"architecture", "z80 baseline"}}));
    REQUIRE(other);
    CHECK(*other == "was compiled for architecture z80 baseline, and this machine has " + architecture);
    const auto unknown = aptp::mismatch(entry_for({{"device", "cpu"}, {"moon", "full"}}));
    REQUIRE(unknown);
    CHECK(*unknown == "was compiled for moon full, which this machine does not have");
}
