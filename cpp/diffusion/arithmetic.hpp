// Products and sums over arrays. Each is rounded on its own, however many a processor makes at once: the library is
// built without contraction to fused multiply-adds, so every width gives the same bits.
#pragma once

#include <cstddef>

namespace aptp {

constexpr std::size_t TERMS = 8;  // the most that a sum has

struct Arithmetic {
    // out = values · factor
    void (*multiply)(const float* values, float factor, float* out, std::size_t size);
    // out = negative + (output − negative) · guidance
    void (*guide)(const float* output, const float* negative, float guidance, float* out, std::size_t size);
    // For each number of terms, from 1: out = values[0] · factors[0] + values[1] · factors[1] + …, left to right.
    void (*sums[TERMS])(const float* const* values, const float* factors, float* out, std::size_t size);
};

// In the instructions that every processor of this kind has.
const Arithmetic& plain_arithmetic() noexcept;

// In the widest that this processor has.
const Arithmetic& arithmetic() noexcept;

}  // namespace aptp
