#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "engines/precision.hpp"
#include "errors.hpp"

namespace {

// Two experts, of which the first has earned bfloat16 on OpenVINO and Intel's or AMD's AVX-512.
aptp::Manifest manifest() {
    aptp::Manifest made;
    made.experts["0"].earned = {{"openvino", "bfloat16", "avx512_bf16"}, {"openvino", "float16", "avx2"}};
    made.experts["2"] = {};
    return made;
}

std::string refusal(aptp::Status status, const std::string& asked, const std::string& engine,
                    const std::string& processor = "avx512_bf16", const aptp::Manifest& of = manifest()) {
    try {
        aptp::check_precision(asked, engine, of, {}, processor);
    } catch (const aptp::Failure& failure) {
        CHECK(failure.status() == status);
        return failure.what();
    }
    return "";
}

}  // namespace

TEST_CASE("without a name the log says which experts could do with less") {
    std::vector<std::string> lines;
    const aptp::Log log = [&](const std::string& message, bool) { lines.push_back(message); };
    aptp::check_precision(std::nullopt, "openvino", manifest(), log, "avx512_bf16");
    REQUIRE(lines.size() == 1);
    CHECK(lines[0].rfind("engine 'openvino' computes experts 2 in float32, for nobody has shown", 0) == 0);
    aptp::check_precision(std::nullopt, "cpu", manifest(), log, "avx512_bf16");
    aptp::check_precision(std::nullopt, "openvino", manifest(), log, "avx2");
    CHECK(lines.size() == 1);
}

TEST_CASE("a precision that cannot be had is refused by name") {
    using aptp::Status;
    CHECK(refusal(Status::usage, "bfloat61", "cpu") ==
          "precision 'bfloat61' is not one of float32, bfloat16, int8 (did you mean 'bfloat16'?)");
    CHECK(refusal(Status::usage, "", "openvino") != "");
    CHECK(refusal(Status::environment, "bfloat16", "cpu") ==
          "precision 'bfloat16': engine 'cpu' computes in float32; use engine 'openvino', or leave precision out");
    CHECK(refusal(Status::environment, "float32", "supernet") ==
          "precision 'float32': engine 'supernet' was compiled in its own; leave precision out");
    CHECK(refusal(Status::environment, "bfloat16", "openvino", "avx2") ==
          "precision 'bfloat16': this processor (avx2) does not compute in it; use float32, or leave precision out");
    CHECK(refusal(Status::environment, "bfloat16", "openvino") ==
          "precision 'bfloat16': expert '2' has not earned it on engine 'openvino' and this class of processor "
          "(avx512_bf16); earn it by building the bundle again here, python -m export.build --codes all --engines "
          "openvino, or use float32");
}

TEST_CASE("a precision that can be had is not refused") {
    using aptp::Status;
    for (const char* engine : {"cpu", "openvino", "cuda", "tensorrt-ep"}) {
        CHECK(refusal(Status::environment, "float32", engine, "baseline") == "");
        aptp::check_precision(std::nullopt, engine, manifest(), {}, "baseline");
    }
    aptp::Manifest earned = manifest();
    earned.experts["2"].earned = earned.experts["0"].earned;
    CHECK(refusal(Status::environment, "bfloat16", "openvino", "avx512_bf16", earned) == "");
}

TEST_CASE("an expert computes in what was asked for, or in the least that it has earned") {
    const aptp::Manifest made = manifest();
    const aptp::ExpertEntry& earned = made.experts.at("0");
    const auto of = [&](const aptp::ExpertEntry& expert, const char* engine, const char* processor) {
        return aptp::precision_of(expert, engine, std::nullopt, processor);
    };
    CHECK(of(earned, "openvino", "avx512_bf16") == "bfloat16");
    CHECK(of(earned, "openvino", "amx_bf16") == "float32");
    CHECK(of(earned, "openvino", "avx2") == "float32");
    CHECK(of(earned, "cpu", "avx512_bf16") == "float32");
    CHECK(of(made.experts.at("2"), "openvino", "avx512_bf16") == "float32");
    CHECK(aptp::precision_of(earned, "openvino", "float32", "avx512_bf16") == "float32");
    CHECK(aptp::precision_of(earned, "openvino", "bfloat16", "avx512_bf16") == "bfloat16");
}

TEST_CASE("eight bits that nobody judged serve by name, and the log says so") {
    aptp::Manifest some = manifest();
    CHECK(refusal(aptp::Status::environment, "int8", "openvino") ==
          "precision 'int8': the bundle holds no such form of expert '0'; build it, python -m export.build --codes all "
          "--engines openvino --precision int8, or leave precision out");
    for (auto& [name, expert] : some.experts) expert.int8 = aptp::ModelEntry{"int8.xml", "", "int8.bin", std::nullopt};
    some.experts["0"].earned.push_back({"openvino", "int8", "avx512_bf16"});
    std::vector<std::string> lines;
    const aptp::Log log = [&](const std::string& message, bool) { lines.push_back(message); };
    aptp::check_precision("int8", "openvino", some, log, "avx512_bf16");
    REQUIRE(lines.size() == 1);
    CHECK(lines[0].rfind("engine 'openvino' computes experts 2 in int8, whose images nobody has judged", 0) == 0);
    CHECK(aptp::precision_of(some.experts["0"], "openvino", std::nullopt, "avx512_bf16") == "int8");
    CHECK(aptp::precision_of(some.experts["2"], "openvino", std::nullopt, "avx512_bf16") == "float32");
    CHECK(aptp::precision_of(some.experts["0"], "openvino", std::nullopt, "avx2") == "float32");
    CHECK(aptp::precision_of(some.experts["2"], "openvino", "int8", "avx2") == "int8");
}
