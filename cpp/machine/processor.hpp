// The processor of this machine.
#pragma once

#include <string>

namespace aptp {

// Its class: the widest vectors that code compiled for it may use, `amx_bf16`, `avx512_bf16`, `avx512f`, `avx2` or
// `baseline`. Any thread.
const std::string& processor_class();

// Whether processors of a class have instructions for bfloat16.
bool computes_in_bfloat16(const std::string& processor);

}  // namespace aptp
