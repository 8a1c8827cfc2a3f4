#include "diffusion/arithmetic.hpp"

#include "diffusion/loops.hpp"

namespace aptp {

#if defined(__x86_64__)
extern const Arithmetic AVX2_ARITHMETIC;
#endif

const Arithmetic& plain_arithmetic() noexcept { return LOOPS; }

const Arithmetic& arithmetic() noexcept {
#if defined(__x86_64__)
    static const bool has_avx2 = __builtin_cpu_supports("avx2") != 0;
    if (has_avx2) return AVX2_ARITHMETIC;
#endif
    return LOOPS;
}

}  // namespace aptp
