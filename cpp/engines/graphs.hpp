// Engines that run a bundle's graphs: OpenVINO as far as this build has it, and ONNX Runtime's execution providers.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engines/engine.hpp"
#include "engines/graph.hpp"
#include "engines/providers.hpp"
#include "log.hpp"

namespace aptp {

inline constexpr const char* OPENVINO = "openvino";

// How a graph is opened: on an `engine` that runs graphs, at a `place`. `precision` is `float32` or, on OpenVINO,
// `bfloat16`, or `int8` for a graph that was quantized. `overrides` pins the dimensions of these names: `batch`,
// `height`, `width`. `threads` are those of one call.
struct GraphSettings {
    std::string engine = "cpu";
    Place place;
    std::string precision = "float32";
    std::map<std::string, std::int64_t> overrides;
    std::optional<std::int64_t> threads;
    std::shared_ptr<const Log> log;  // hears what ONNX Runtime says; null: it writes to standard error
};

// Whether an engine runs graphs: else it is a kind of compiled file.
bool runs_graphs(const std::string& engine);

// Why an engine that runs graphs cannot be used here, or nothing if it can. Any thread.
std::optional<std::string> missing_graphs(const std::string& engine, const Place& place);

// Let the sessions of ONNX Runtime in this process share so many threads (nothing: one for each core that this process
// may use, within its quota). They `spin` for a moment when a call has ended, which shortens the next one and costs
// other engines their cores. The first call counts.
void share_threads(std::optional<std::int64_t> threads, bool spins);

// Open the graph at `path`. Throws Failure (environment, engine).
std::unique_ptr<Graph> open_graph(const std::filesystem::path& path, const GraphSettings& settings);

// Open the graph of a UNet that takes exactly `inputs`. Throws Failure (environment, engine).
std::unique_ptr<Engine> open_unet(const std::filesystem::path& path, const GraphSettings& settings,
                                  const std::vector<std::string>& inputs);

}  // namespace aptp
