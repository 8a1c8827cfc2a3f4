#include "files/utf8.hpp"

#include <algorithm>

namespace aptp {
namespace {

// The length that a first byte announces, or 0 for a byte that begins nothing.
std::size_t length_of(unsigned char first) {
    if (first < 0x80) return 1;
    if (first >= 0xC2 && first <= 0xDF) return 2;
    if (first >= 0xE0 && first <= 0xEF) return 3;
    if (first >= 0xF0 && first <= 0xF4) return 4;
    return 0;
}

bool is_continuation(char byte) { return (static_cast<unsigned char>(byte) & 0xC0) == 0x80; }

bool is_scalar(char32_t value, std::size_t length) {
    static constexpr char32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    return value >= least[length] && value <= 0x10FFFF && (value < 0xD800 || value > 0xDFFF);
}

}  // namespace

std::optional<std::u32string> from_utf8(std::string_view text) {
    std::u32string found;
    found.reserve(text.size());
    for (std::size_t index = 0; index < text.size();) {
        const auto first = static_cast<unsigned char>(text[index]);
        const std::size_t length = length_of(first);
        if (length == 0 || length > text.size() - index) return std::nullopt;
        char32_t value = length == 1 ? first : first & (0x7FU >> length);
        for (std::size_t next = 1; next < length; ++next) {
            const char byte = text[index + next];
            if (!is_continuation(byte)) return std::nullopt;
            value = (value << 6) | (static_cast<unsigned char>(byte) & 0x3FU);
        }
        if (!is_scalar(value, length)) return std::nullopt;
        found.push_back(value);
        index += length;
    }
    return found;
}

void append_utf8(std::string& out, char32_t character) {
    const auto push = [&out](char32_t byte) { out.push_back(static_cast<char>(static_cast<unsigned char>(byte))); };
    if (character < 0x80) {
        push(character);
    } else if (character < 0x800) {
        push(0xC0 | (character >> 6));
        push(0x80 | (character & 0x3F));
    } else if (character < 0x10000) {
        push(0xE0 | (character >> 12));
        push(0x80 | ((character >> 6) & 0x3F));
        push(0x80 | (character & 0x3F));
    } else {
        push(0xF0 | (character >> 18));
        push(0x80 | ((character >> 12) & 0x3F));
        push(0x80 | ((character >> 6) & 0x3F));
        push(0x80 | (character & 0x3F));
    }
}

std::size_t count_utf8(std::string_view text) noexcept {
    const auto count = std::count_if(text.begin(), text.end(), [](char byte) { return !is_continuation(byte); });
    return static_cast<std::size_t>(count);
}

}  // namespace aptp
