// The memory of this machine, and of this process.
#pragma once

#include <cstdint>
#include <filesystem>

namespace aptp {

// All the memory there is, in bytes: the machine's, or less where a control group or a limit of this process (`ulimit`)
// says so.
std::int64_t whole_memory(const std::filesystem::path& root = "/");

// Half of it: the rest is for activations, caches and everyone else.
std::int64_t half_of_memory(const std::filesystem::path& root = "/");

// Give what the allocator keeps for later back to the system, where it can: what engines held is large.
void give_memory_back();

}  // namespace aptp
