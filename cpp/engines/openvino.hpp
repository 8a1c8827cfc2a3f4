// Graphs on OpenVINO, natively: x86-64 and Arm processors, in float32 or in the bfloat16 that they compute in.
//
// Built with APTP_WITH_OPENVINO.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engines/engine.hpp"
#include "engines/graph.hpp"
#include "engines/graphs.hpp"

namespace aptp::openvino {

// Why OpenVINO cannot be used here, or nothing if it can. Any thread.
std::optional<std::string> missing();

// The same of a release, such as `2026.4.1`.
std::optional<std::string> too_old(const std::string& version);

// As the functions of these names in graphs.hpp. Throw Failure (engine).
std::unique_ptr<Graph> open_graph(const std::filesystem::path& path, const GraphSettings& settings);
std::unique_ptr<Engine> open_unet(const std::filesystem::path& path, const GraphSettings& settings,
                                  const std::vector<std::string>& inputs);

}  // namespace aptp::openvino
