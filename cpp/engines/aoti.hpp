// Packages of AOTInductor: a UNet that PyTorch compiled ahead of time, for this processor or GPU.
//
// One package is an expert, or the supernet of all experts, which takes the gates of each row as well. Built with
// APTP_WITH_AOTI, against the C++ libraries of the PyTorch whose version the packages name.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "bundle/schema.hpp"
#include "engines/engine.hpp"

namespace aptp::aoti {

// The version of PyTorch that this was built with, as packages name it.
std::string version();

// Load the package at `path`. Threads of PyTorch are the whole process's, so nothing leaves them alone. Throws Failure
// (engine).
std::unique_ptr<Engine> open_package(const std::filesystem::path& path, const CompiledEntry& entry,
                                     std::optional<std::int64_t> threads);

}  // namespace aptp::aoti
