#include "engines/precision.hpp"

#include <algorithm>
#include <vector>

#include "engines/compiled.hpp"
#include "engines/graphs.hpp"
#include "errors.hpp"
#include "machine/processor.hpp"

namespace aptp {

namespace {

constexpr const char* FLOAT32 = "float32";
constexpr const char* BFLOAT16 = "bfloat16";
constexpr const char* INT8 = "int8";
const std::string REMEDY = "python -m export.build --codes all --engines openvino";

bool has_earned(const ExpertEntry& expert, const Earned& wanted) {
    return std::find(expert.earned.begin(), expert.earned.end(), wanted) != expert.earned.end();
}

// The experts that compute in float32 here though the processor could do with less: none where it could not.
std::string unearned(const std::string& engine, const Manifest& manifest, const std::string& processor) {
    std::string names;
    if (engine != OPENVINO || !computes_in_bfloat16(processor)) return names;
    for (const auto& [name, expert] : manifest.experts) {
        if (precision_of(expert, engine, std::nullopt, processor) == FLOAT32) {
            names += (names.empty() ? "" : ", ") + name;
        }
    }
    return names;
}

void check_int8(const std::string& engine, const Manifest& manifest, const Log& log, const std::string& processor) {
    std::string names;
    for (const auto& [name, expert] : manifest.experts) {
        if (!expert.int8) {
            throw Failure(Status::environment, "precision 'int8': the bundle holds no such form of expert '" + name +
                                                   "'; build it, " + REMEDY +
                                                   " --precision int8, or leave precision out");
        }
        if (!has_earned(expert, {engine, INT8, processor})) names += (names.empty() ? "" : ", ") + name;
    }
    if (names.empty() || !log) return;
    log("engine '" + engine + "' computes experts " + names +
            " in int8, whose images nobody has judged on this class of processor (" + processor +
            "); python -m export.judge records such a judgement",
        false);
}

}  // namespace

void check_precision(const std::optional<std::string>& asked, const std::string& engine, const Manifest& manifest,
                     const Log& log, const std::string& processor) {
    if (!asked) {
        const std::string names = unearned(engine, manifest, processor);
        if (!names.empty() && log) {
            log("engine '" + engine + "' computes experts " + names +
                    " in float32, for nobody has shown that bfloat16 " +
                    "will do on this class of processor; build the bundle again here to try: " + REMEDY,
                false);
        }
        return;
    }
    const std::vector<std::string> names{FLOAT32, BFLOAT16, INT8};
    const std::string where = "precision " + repr(*asked);
    if (std::find(names.begin(), names.end(), *asked) == names.end()) {
        throw Failure(Status::usage, where + " is not one of float32, bfloat16, int8" + nearest(*asked, names));
    }
    const auto refuse = [&](const std::string& reason) { throw Failure(Status::environment, where + ": " + reason); };
    if (is_compiled_kind(engine)) refuse("engine '" + engine + "' was compiled in its own; leave precision out");
    if (*asked == FLOAT32) return;
    if (engine != OPENVINO) {
        refuse("engine '" + engine + "' computes in float32; use engine 'openvino', or leave precision out");
    }
    if (*asked == INT8) {
        check_int8(engine, manifest, log, processor);
        return;
    }
    if (!computes_in_bfloat16(processor)) {
        refuse("this processor (" + processor + ") does not compute in it; use float32, or leave precision out");
    }
    for (const auto& [name, expert] : manifest.experts) {
        if (!has_earned(expert, {engine, *asked, processor})) {
            refuse("expert '" + name + "' has not earned it on engine '" + engine + "' and this class of processor (" +
                   processor + "); earn it by building the bundle again here, " + REMEDY + ", or use float32");
        }
    }
}

std::string precision_of(const ExpertEntry& expert, const std::string& engine, const std::optional<std::string>& asked,
                         const std::string& processor) {
    if (asked) return *asked;
    // Where there is no bfloat16, nobody has measured that eight bits are faster.
    if (engine != OPENVINO || !computes_in_bfloat16(processor)) return FLOAT32;
    if (has_earned(expert, {engine, INT8, processor})) return INT8;
    return has_earned(expert, {engine, BFLOAT16, processor}) ? BFLOAT16 : FLOAT32;
}

}  // namespace aptp
