// How much a runtime takes at once: numbers that a caller gives when it opens a bundle.
#pragma once

#include <cstdint>
#include <string>

namespace aptp {

inline constexpr std::int64_t THREADS = 4096;  // of one call: more than any machine has cores

// Refuse a number below 1; `name` is what messages call it. Throws Failure (usage).
void check_limit(std::int64_t value, const std::string& name);

// Refuse a number of threads that cannot be. Throws Failure (usage).
void check_threads(std::int64_t value);

}  // namespace aptp
