// Compiled for processors with AVX2, eight floats at once, which nobody may enter without asking for them.
#include "diffusion/loops.hpp"

namespace aptp {

extern const Arithmetic AVX2_ARITHMETIC;
const Arithmetic AVX2_ARITHMETIC = LOOPS;

}  // namespace aptp
