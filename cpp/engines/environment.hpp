// ONNX Runtime in this process: its one environment, and the provider plugins that were loaded into it.
//
// For files of this room alone: nobody else includes ONNX Runtime's headers.
#pragma once

#include <onnxruntime_cxx_api.h>

#include <string>
#include <vector>

namespace aptp {

// The environment of the process, made by the first who asks; CPU sessions allocate from one arena in it. Any thread.
// Throws Failure (environment) where the library that was loaded is older than the headers.
Ort::Env& environment();

// The devices that the plugin at `path` offers; it is loaded once per process. Any thread. Throws Failure (environment)
// where it does not load.
std::vector<Ort::ConstEpDevice> plugin_devices(const std::string& path);

}  // namespace aptp
