#include "engines/nvidia.hpp"

#include <dlfcn.h>

namespace aptp::nvidia {

namespace {

// CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_*
constexpr int MAJOR = 75;
constexpr int MINOR = 76;

template <typename Function>
Function* symbol(void* library, const char* name) {
    return reinterpret_cast<Function*>(dlsym(library, name));
}

std::optional<Device> find() {
    // Never closed: a driver that was asked stays.
    void* library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) return std::nullopt;
    auto* init = symbol<int(unsigned)>(library, "cuInit");
    auto* count_of = symbol<int(int*)>(library, "cuDeviceGetCount");
    auto* get = symbol<int(int*, int)>(library, "cuDeviceGet");
    auto* version_of = symbol<int(int*)>(library, "cuDriverGetVersion");
    auto* attribute_of = symbol<int(int*, int, int)>(library, "cuDeviceGetAttribute");
    if (!init || !count_of || !get || !version_of || !attribute_of) return std::nullopt;
    int count = 0;
    int handle = 0;
    int version = 0;
    int major = 0;
    int minor = 0;
    if (init(0) != 0 || count_of(&count) != 0 || count == 0) return std::nullopt;
    if (get(&handle, 0) != 0 || version_of(&version) != 0) return std::nullopt;
    if (attribute_of(&major, MAJOR, handle) != 0 || attribute_of(&minor, MINOR, handle) != 0) return std::nullopt;
    return Device{"sm" + std::to_string(major) + std::to_string(minor),
                  std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10)};
}

}  // namespace

const std::optional<Device>& device() {
    static const std::optional<Device> found = find();
    return found;
}

std::optional<std::string> missing() {
    if (device()) return std::nullopt;
    return "no NVIDIA GPU answers here (libcuda.so.1 is missing, or finds no device)";
}

}  // namespace aptp::nvidia
