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

// The first device, and how many there are.
struct Found {
    std::optional<Device> first;
    std::int64_t count = 0;
};

Found find() {
    // Never closed: a driver that was asked stays.
    void* library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) return {};
    auto* init = symbol<int(unsigned)>(library, "cuInit");
    auto* count_of = symbol<int(int*)>(library, "cuDeviceGetCount");
    auto* get = symbol<int(int*, int)>(library, "cuDeviceGet");
    auto* version_of = symbol<int(int*)>(library, "cuDriverGetVersion");
    auto* attribute_of = symbol<int(int*, int, int)>(library, "cuDeviceGetAttribute");
    if (!init || !count_of || !get || !version_of || !attribute_of) return {};
    int count = 0;
    int handle = 0;
    int version = 0;
    int major = 0;
    int minor = 0;
    if (init(0) != 0 || count_of(&count) != 0 || count == 0) return {};
    if (get(&handle, 0) != 0 || version_of(&version) != 0) return {};
    if (attribute_of(&major, MAJOR, handle) != 0 || attribute_of(&minor, MINOR, handle) != 0) return {};
    return {Device{"sm" + std::to_string(major) + std::to_string(minor),
                   std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10)},
            count};
}

const Found& found() {
    static const Found once = find();
    return once;
}

}  // namespace

const std::optional<Device>& device() { return found().first; }

std::optional<std::string> missing(std::int64_t number) {
    if (!device()) return "no NVIDIA GPU answers here (libcuda.so.1 is missing, or finds no device)";
    if (number < found().count) return std::nullopt;
    return "there is no GPU " + std::to_string(number) + ": they are numbered from 0 to " +
           std::to_string(found().count - 1);
}

}  // namespace aptp::nvidia
