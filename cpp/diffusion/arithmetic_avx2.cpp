// Compiled for processors with AVX2, eight floats at once, which nobody may enter without asking for them. These loops
// are 0.02 % of a request's processor time: wider ones, or more of them, are not worth having (ARCHITECTURE.md).
#include "diffusion/loops.hpp"

namespace aptp {

extern const Arithmetic AVX2_ARITHMETIC;
const Arithmetic AVX2_ARITHMETIC = LOOPS;

}  // namespace aptp
