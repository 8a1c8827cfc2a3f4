#include "engines/providers.hpp"

#include <sys/utsname.h>

#include <algorithm>

#include "engines/configure.hpp"
#include "engines/nvidia.hpp"
#include "errors.hpp"

namespace aptp {

namespace {

const char* ort_name(const Provider& provider) {
    return provider.name == "cuda" ? "CUDAExecutionProvider" : "TensorrtExecutionProvider";
}

// The first device of the right kind that a provider's plugin offers.
std::vector<Ort::ConstEpDevice> device_of(const Provider& provider) {
    const auto kind = provider.is_on_gpu() ? OrtHardwareDeviceType_GPU : OrtHardwareDeviceType_CPU;
    for (const Ort::ConstEpDevice& device : plugin_devices(provider.plugin)) {
        if (device.Device().Type() == kind) return {device};
    }
    return {};
}

bool is_x86() {
    utsname names{};
    return uname(&names) == 0 && std::string(names.machine) == "x86_64";
}

std::optional<std::string> missing_plugin(const Provider& provider) {
    if (provider.name == "openvino" && !is_x86()) return "it runs on x86 processors, and this is none";
    if (provider.plugin.empty()) return "the path of its plugin for ONNX Runtime was not given";
    try {
        if (!device_of(provider).empty()) return std::nullopt;
    } catch (const Failure& failure) {
        return failure.what();
    } catch (const Ort::Exception& error) {
        return error.what();
    }
    if (provider.is_on_gpu()) return "its plugin offers no GPU";
    return "its plugin offers no device for this processor (it accepts Intel CPUs only)";
}

using Pairs = std::unordered_map<std::string, std::string>;

void append_cuda(Ort::SessionOptions& options, bool fast) {
    Ort::CUDAProviderOptions settings;
    // Grows by what is asked for, not in powers of two: the weights are most of it.
    settings.Update({{"use_tf32", fast ? "1" : "0"}, {"arena_extend_strategy", "kSameAsRequested"}});
    options.AppendExecutionProvider_CUDA_V2(*settings);
}

void append_tensorrt(Ort::SessionOptions& options, bool fast) {
    Ort::TensorRTProviderOptions settings;
    settings.Update(
        {{"trt_fp16_enable", fast ? "1" : "0"}, {"trt_timing_cache_enable", "1"}, {"trt_engine_cache_enable", "0"}});
    options.AppendExecutionProvider_TensorRT_V2(*settings);
}

}  // namespace

std::optional<std::string> missing(const Provider& provider) {
    if (provider.name == "cpu") return std::nullopt;
    if (provider.name == "openvino" || !provider.plugin.empty()) return missing_plugin(provider);
    environment();
    const std::vector<std::string> here = Ort::GetAvailableProviders();
    if (std::find(here.begin(), here.end(), ort_name(provider)) == here.end()) {
        return "onnxruntime " + Ort::GetVersionString() + " as installed lacks it";
    }
    return nvidia::missing();
}

void configure(Ort::SessionOptions& options, const Provider& provider, bool fast) {
    if (provider.name == "cpu") {
        options.AddConfigEntry("session.use_env_allocators", "1");
    } else if (!provider.plugin.empty()) {
        Pairs settings;
        if (provider.name == "openvino" && !fast) {
            settings["load_config"] = R"({"CPU": {"INFERENCE_PRECISION_HINT": "f32"}})";
        }
        options.AppendExecutionProvider_V2(environment(), device_of(provider), settings);
    } else {
        // TensorRT takes the parts of a graph it knows, and leaves the others.
        if (provider.name == "tensorrt") append_tensorrt(options, fast);
        append_cuda(options, fast);
    }
}

}  // namespace aptp
