// What a caller leaves out, and facts that are not there, as C writes them.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>

#include "aptp.h"

namespace aptp {

// For a number that there is none of.
constexpr double NOTHING = std::numeric_limits<double>::quiet_NaN();

inline std::optional<std::int64_t> or_default(std::int64_t value) {
    return value == APTP_DEFAULT ? std::nullopt : std::optional(value);
}

inline std::optional<std::string> or_default(const char* text) {
    return text == nullptr ? std::nullopt : std::optional<std::string>(text);
}

inline std::optional<double> or_unset(double value) {
    return value == APTP_UNSET ? std::nullopt : std::optional(value);
}

}  // namespace aptp
