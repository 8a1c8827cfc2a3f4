// UTF-8 to code points and back, strictly: no overlong forms, no surrogates, nothing beyond U+10FFFF.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace aptp {

// The code points of `text`, or nothing where it is not UTF-8.
std::optional<std::u32string> from_utf8(std::string_view text);

// Appends one code point, which must be a scalar value.
void append_utf8(std::string& out, char32_t character);

// How many code points `text` has, which must be UTF-8.
std::size_t count_utf8(std::string_view text) noexcept;

}  // namespace aptp
