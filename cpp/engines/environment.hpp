// ONNX Runtime in this process: its one environment, and the provider plugins that were loaded into it.
//
// For files of this room alone: nobody else includes ONNX Runtime's headers.
#pragma once

#include <onnxruntime_cxx_api.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace aptp {

// The environment of the process, made by the first who asks; CPU sessions allocate from one arena in it, and share its
// threads. Any thread. Throws Failure (environment) where the library that was loaded is older than the headers.
Ort::Env& environment();

// Refuse a library of ONNX Runtime that is older than the headers. Throws Failure (environment).
void check_version();

// Threads of a call where nobody says how many: one for each core that this process may use, within its quota. ONNX
// Runtime's own choice is by the whole machine, and binds threads to cores that a container may not use.
std::int64_t default_threads();

// Whether a session whose calls have so many threads (nothing: the default) takes them from the environment's:
// where their number is what `share_threads` was told first. Any thread.
bool shares_threads(std::optional<std::int64_t> threads);

// The environment was made by the program around us, and has no threads to share: sessions have their own from now on.
void forgo_sharing();

// The devices that the plugin at `path` offers; it is loaded once per process. Any thread. Throws Failure (environment)
// where it does not load.
std::vector<Ort::ConstEpDevice> plugin_devices(const std::string& path);

}  // namespace aptp
