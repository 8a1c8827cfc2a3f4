// A bundle that is made up, for programs that know aptp.hpp alone: its names and those of the library's inside are one.
#pragma once

#include <cstdint>

#include "aptp.h"

namespace made_up {

inline constexpr std::uint64_t STEPS = 5;  // by default

// As aptp_open. The expert `dense` fails.
aptp_status open(const char* path, const aptp_open_options* options, aptp_runtime** runtime);

// How many bundles are open.
int versions();

}  // namespace made_up
