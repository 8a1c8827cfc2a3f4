// Start noise that every language reproduces bit for bit (docs/BUNDLE.md, "Start noise").
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace aptp {

// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011) of one counter under one key.
std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> counter, std::array<std::uint32_t, 2> key);

// Write `count` standard normal values. The first ones do not depend on how many follow.
void normal(std::uint64_t seed, float* out, std::size_t count, std::uint32_t stream = 0);

}  // namespace aptp
