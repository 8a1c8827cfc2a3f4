// The bytes of values as text, for comparisons to the bit.
#pragma once

#include <cstring>
#include <string>
#include <vector>

template <typename Value>
std::string hexadecimal(const std::vector<Value>& values) {
    static constexpr char digits[] = "0123456789abcdef";
    std::vector<unsigned char> bytes(values.size() * sizeof(Value));
    if (!bytes.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
    std::string text;
    text.reserve(2 * bytes.size());
    for (const unsigned char byte : bytes) {
        text.push_back(digits[byte >> 4]);
        text.push_back(digits[byte & 15]);
    }
    return text;
}
