#include "engines/choice.hpp"

#include <algorithm>
#include <optional>
#include <vector>

#include "engines/compiled.hpp"
#include "engines/graphs.hpp"
#include "engines/target.hpp"
#include "errors.hpp"

namespace aptp {

namespace {

const std::vector<std::string> ENGINES{"auto",        "cpu",  "openvino", "cuda",
                                       "tensorrt-ep", "aoti", "tensorrt", "supernet"};
// Best first. What is not here serves where it is asked for: it wins on some machines and loses on others.
const std::vector<std::string> BEST{"tensorrt", "cuda", "openvino", "cpu"};

std::string joined(const std::vector<std::string>& names) {
    std::string text;
    for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
    return text;
}

// Whether an engine runs on the GPU that is asked for; what compilers made runs on the first.
bool takes_device(const std::string& engine) { return engine == "cuda" || engine == "tensorrt-ep"; }

std::string remedy(const std::string& kind) {
    return "build it on this machine with `python -m export.build --codes all --engines " + kind + "`";
}

}  // namespace

const std::vector<std::string>& engine_names() { return ENGINES; }

std::optional<std::string> missing_engine(const std::string& engine, const Manifest& manifest, const Place& place) {
    if (place.device != 0 && !takes_device(engine)) return "it runs on no GPU " + std::to_string(place.device);
    if (runs_graphs(engine)) return missing_graphs(engine, place);
    if (const auto reason = missing_kind(engine)) return reason;
    for (const auto& [name, expert] : manifest.experts) {
        const auto first = std::find_if(expert.compiled.begin(), expert.compiled.end(),
                                        [&](const CompiledEntry& entry) { return entry.kind == engine; });
        if (first == expert.compiled.end()) {
            return "the bundle holds none for expert '" + name + "'; " + remedy(engine);
        }
        if (fitting(expert, engine) == nullptr) {
            return "expert '" + name + "' " + mismatch(*first).value_or("fits") + "; " + remedy(engine);
        }
    }
    return std::nullopt;
}

namespace {

std::string best(const Manifest& manifest, const Place& place, const Log& log, const std::string& processor) {
    // Where there is nothing beyond AVX2, a step takes as long on `cpu`, and opening again half (Zen 3).
    const bool openvino_wins = computes_in_bfloat16(processor);
    const auto found = std::find_if(BEST.begin(), BEST.end(), [&](const std::string& engine) {
        return (engine != OPENVINO || openvino_wins) && !missing_engine(engine, manifest, place);
    });
    if (found == BEST.end()) {
        throw Failure(Status::environment, "engine 'auto' cannot use GPU " + std::to_string(place.device) + ": " +
                                               missing_engine("cuda", manifest, place).value_or("") +
                                               "; leave the device out");
    }
    if (*found == "cpu" && openvino_wins && log) {
        log("engine auto is 'cpu': 'openvino' cannot be used: " +
                missing_engine(OPENVINO, manifest, place).value_or(""),
            false);
    }
    return *found;
}

}  // namespace

std::string choose(const std::string& name, const Manifest& manifest, const Place& place, const Log& log,
                   const std::string& processor) {
    if (std::find(ENGINES.begin(), ENGINES.end(), name) == ENGINES.end()) {
        throw Failure(Status::usage,
                      "engine " + repr(name) + " is not one of " + joined(ENGINES) + nearest(name, ENGINES));
    }
    if (name == "auto") return best(manifest, place, log, processor);
    if (const auto reason = missing_engine(name, manifest, place)) {
        throw Failure(Status::environment,
                      "engine '" + name + "' cannot be used: " + *reason + "; use 'cpu' or 'auto'");
    }
    return name;
}

const CompiledEntry* fitting(const ExpertEntry& expert, const std::string& kind) {
    for (const CompiledEntry& entry : expert.compiled) {
        if (entry.kind == kind && !mismatch(entry)) return &entry;
    }
    return nullptr;
}

std::string beside(const std::string& engine, const Place& place) {
    if (engine == OPENVINO) return "cpu";
    if (runs_graphs(engine)) return engine;
    return missing_graphs("cuda", place) ? "cpu" : "cuda";
}

}  // namespace aptp
