// ONNX Runtime's execution providers: which of them this machine has, and how a session is given one.
#pragma once

#include <optional>
#include <string>

namespace aptp {

// A provider, `cpu`, `cuda` or `tensorrt`, and the plugin that it comes from: empty where it is built into ONNX
// Runtime.
struct Provider {
    std::string name = "cpu";
    std::string plugin;

    bool is_on_gpu() const { return name == "cuda" || name == "tensorrt"; }
};

// Why a provider cannot be used here, or nothing if it can. Any thread.
std::optional<std::string> missing(const Provider& provider);

}  // namespace aptp
