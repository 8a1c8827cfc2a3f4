// The processor of this machine.
#pragma once

#include <string>

namespace aptp {

// Its class: the widest vectors that code compiled for it may use, `amx_bf16`, `avx512_bf16`, `avx512f`, `avx2` or
// `baseline`. Any thread.
const std::string& processor_class();

}  // namespace aptp
