// Images as PNG.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace aptp {

// `pixels` uint8 [height, width, 3] as a PNG, with `text` in the text chunk `aptp` unless that is empty. Throws Failure
// (output).
std::vector<std::uint8_t> encode_png(const std::uint8_t* pixels, std::uint32_t height, std::uint32_t width,
                                     const std::string& text = "");

}  // namespace aptp
