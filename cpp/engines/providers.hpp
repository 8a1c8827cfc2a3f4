// ONNX Runtime's execution providers: which of them this machine has, and how a session is given one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace aptp {

// Where graphs run: the plugin of ONNX Runtime that a provider comes from (a path; empty where it is built in), and
// which of the machine's GPUs, from 0.
struct Place {
    std::string plugin;
    std::int64_t device = 0;
};

// A provider, `cpu`, `cuda` or `tensorrt`, and where it runs.
struct Provider {
    std::string name = "cpu";
    Place place;

    bool is_on_gpu() const { return name == "cuda" || name == "tensorrt"; }
};

// Why a provider cannot be used here, or nothing if it can. Any thread.
std::optional<std::string> missing(const Provider& provider);

}  // namespace aptp
