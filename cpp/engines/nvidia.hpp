// NVIDIA's devices as the driver tells of them, without a toolkit.
#pragma once

#include <cstdint>
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

// Why the NVIDIA GPU of a number, from 0, cannot be used here, or nothing if it can.
std::optional<std::string> missing(std::int64_t number = 0);

}  // namespace aptp::nvidia
