#include "engines/providers.hpp"

#include <algorithm>

#include "engines/configure.hpp"
#include "engines/nvidia.hpp"
#include "errors.hpp"

namespace aptp {

namespace {

const char* ort_name(const Provider& provider) {
    return provider.name == "cuda" ? "CUDAExecutionProvider" : "TensorrtExecutionProvider";
}

// The GPU of that number among those that a provider's plugin offers.
std::vector<Ort::ConstEpDevice> device_of(const Provider& provider) {
    std::int64_t number = 0;
    for (const Ort::ConstEpDevice& device : plugin_devices(provider.place.plugin)) {
        if (device.Device().Type() == OrtHardwareDeviceType_GPU && number++ == provider.place.device) return {device};
    }
    return {};
}

std::optional<std::string> missing_plugin(const Provider& provider) {
    try {
        if (!device_of(provider).empty()) return std::nullopt;
    } catch (const Failure& failure) {
        return failure.what();
    } catch (const Ort::Exception& error) {
        return error.what();
    }
    return "its plugin offers no GPU " + std::to_string(provider.place.device);
}

void append_cuda(Ort::SessionOptions& options, const std::string& device) {
    Ort::CUDAProviderOptions settings;
    // Grows by what is asked for, not in powers of two: the weights are most of it.
    settings.Update({{"device_id", device}, {"use_tf32", "0"}, {"arena_extend_strategy", "kSameAsRequested"}});
    options.AppendExecutionProvider_CUDA_V2(*settings);
}

void append_tensorrt(Ort::SessionOptions& options, const std::string& device) {
    Ort::TensorRTProviderOptions settings;
    settings.Update({{"device_id", device},
                     {"trt_fp16_enable", "0"},
                     {"trt_timing_cache_enable", "1"},
                     {"trt_engine_cache_enable", "0"}});
    options.AppendExecutionProvider_TensorRT_V2(*settings);
}

}  // namespace

std::optional<std::string> missing(const Provider& provider) {
    if (provider.name == "cpu") return std::nullopt;
    if (!provider.place.plugin.empty()) return missing_plugin(provider);
    check_version();
    const std::vector<std::string> here = Ort::GetAvailableProviders();
    if (std::find(here.begin(), here.end(), ort_name(provider)) == here.end()) {
        return "onnxruntime " + Ort::GetVersionString() + " as installed lacks it";
    }
    return nvidia::missing(provider.place.device);
}

void configure(Ort::SessionOptions& options, const Provider& provider) {
    if (provider.name == "cpu") {
        options.AddConfigEntry("session.use_env_allocators", "1");
    } else if (!provider.place.plugin.empty()) {
        options.AppendExecutionProvider_V2(environment(), device_of(provider),
                                           std::unordered_map<std::string, std::string>());
    } else {
        // TensorRT takes the parts of a graph it knows, and leaves the others.
        const std::string device = std::to_string(provider.place.device);
        if (provider.name == "tensorrt") append_tensorrt(options, device);
        append_cuda(options, device);
    }
}

}  // namespace aptp
