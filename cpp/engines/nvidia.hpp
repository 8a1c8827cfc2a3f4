// NVIDIA's devices as the driver tells of them, without a toolkit.
#pragma once

#include <optional>
#include <string>

namespace aptp::nvidia {

// `architecture` such as "sm90"; `driver`, the newest CUDA version that its driver serves, as "13.0".
struct Device {
    std::string architecture;
    std::string driver;
};

// The first device, or nothing where there is none (or no driver). Looked for once per process; any thread.
const std::optional<Device>& device();

// Why no NVIDIA GPU can be used here, or nothing if one can.
std::optional<std::string> missing();

}  // namespace aptp::nvidia
