// The loops of `Arithmetic`, for files that are each compiled for other processors. Nothing here may be shared among
// them, so all is without a name outside its file, and calls nothing of the standard library.
#pragma once

#include "diffusion/arithmetic.hpp"

namespace aptp {
namespace {

void multiply(const float* values, float factor, float* out, std::size_t size) {
    for (std::size_t index = 0; index < size; ++index) out[index] = values[index] * factor;
}

void guide(const float* output, const float* negative, float guidance, float* out, std::size_t size) {
    for (std::size_t index = 0; index < size; ++index) {
        out[index] = negative[index] + (output[index] - negative[index]) * guidance;
    }
}

// The terms are copied from their arrays, for the compiler has to assume that `out` lies in those.
template <std::size_t COUNT>
void sum(const float* const* values, const float* factors, float* out, std::size_t size) {
    const float* from[COUNT];
    float times[COUNT];
    for (std::size_t term = 0; term < COUNT; ++term) {
        from[term] = values[term];
        times[term] = factors[term];
    }
    for (std::size_t index = 0; index < size; ++index) {
        float total = from[0][index] * times[0];
        for (std::size_t term = 1; term < COUNT; ++term) total += from[term][index] * times[term];
        out[index] = total;
    }
}

constexpr Arithmetic LOOPS{multiply, guide, {sum<1>, sum<2>, sum<3>, sum<4>, sum<5>, sum<6>, sum<7>, sum<8>}};

}  // namespace
}  // namespace aptp
