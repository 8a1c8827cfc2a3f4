// Plans of TensorRT: a UNet that NVIDIA's builder compiled for one GPU, one release and a range of sizes.
//
// Built with APTP_WITH_TENSORRT, against the documented interfaces of TensorRT 10.13 and CUDA 12. No plan has been
// opened by this code on a GPU yet.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "engines/engine.hpp"

namespace aptp::tensorrt {

// The version of TensorRT that this was built with, as plans name it.
std::string version();

// Load the plan at `path`. Throws Failure (environment, engine).
std::unique_ptr<Engine> open_plan(const std::filesystem::path& path);

}  // namespace aptp::tensorrt
