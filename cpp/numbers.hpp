// Numbers as text and back, whatever the locale of the program around the library: a decimal point is a point.
#pragma once

#include <charconv>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace aptp {

namespace detail {

template <typename Number>
std::optional<Number> read(std::string_view text) {
    Number value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return value;
}

}  // namespace detail

// The number that is all of `text`, without blanks or a plus sign; nothing where there is none or it does not fit.
inline std::optional<std::int64_t> read_integer(std::string_view text) { return detail::read<std::int64_t>(text); }
inline std::optional<double> read_number(std::string_view text) { return detail::read<double>(text); }

// Six significant digits at most, as `%g` writes them.
inline std::string in_digits(double value) {
    char text[32];
    return {text, std::to_chars(text, text + sizeof text, value, std::chars_format::general, 6).ptr};
}

// With so many decimals, at most 20, as `%.*f` writes them.
inline std::string in_decimals(double value, int decimals) {
    char text[336];  // the largest double has 309 digits before its point
    return {text, std::to_chars(text, text + sizeof text, value, std::chars_format::fixed, decimals).ptr};
}

}  // namespace aptp
