// How much a runtime takes at once: numbers that a caller gives when it opens a bundle.
#pragma once

#include <cstdint>
#include <string>

namespace aptp {

// Refuse a number below 1; `name` is what messages call it. Throws Failure (usage).
void check_limit(std::int64_t value, const std::string& name);

}  // namespace aptp
