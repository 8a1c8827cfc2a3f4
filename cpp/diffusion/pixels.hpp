// Floats to bytes: what a decoder gives as an image, and what latents look like on their way.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "bundle/schema.hpp"
#include "diffusion/trajectory.hpp"

namespace aptp {

inline constexpr int BLANK = 2;  // an image whose values span no more than this, of 255, shows nothing

// The decoder's output float32 [3, height, width] as uint8 [height, width, 3]. Throws Failure (engine) where it is not
// finite.
std::vector<std::uint8_t> to_pixels(const float* decoded, std::size_t height, std::size_t width);

// Write what the decoder takes for final latents: x / scaling_factor + shift_factor, in float32.
void to_decoder(const float* latents, std::size_t size, const DecoderEntry& decoder, float* out);

// Whether an image shows nothing, which is what broken engines most often return.
bool is_blank(const std::vector<std::uint8_t>& pixels);

// After how many of `rows` rows to show a preview: `count` times, evenly spaced, never the last. Ascending.
std::vector<std::size_t> preview_moments(std::size_t count, std::size_t rows);

// What the image is predicted to be, uint8 [height, width, 3] of the latents' sides: no decoder is run. Nothing where
// the bundle does not say how, and where what is predicted is not finite. At least one row has been walked.
std::optional<std::vector<std::uint8_t>> preview(const Trajectory& trajectory, const DecoderEntry& decoder,
                                                 std::size_t height, std::size_t width);

}  // namespace aptp
