#include "diffusion/pixels.hpp"

#include <algorithm>
#include <cmath>

#include "errors.hpp"

namespace aptp {
namespace {

// round(255 · clamp(v/2 + 1/2, 0, 1)), halves to even, which is how the processor rounds unless told otherwise.
std::uint8_t to_byte(float value) {
    const float unit = std::min(std::max(value / 2.0F + 0.5F, 0.0F), 1.0F);
    return static_cast<std::uint8_t>(std::nearbyint(unit * 255.0F));
}

bool are_finite(const float* values, std::size_t size) {
    return std::all_of(values, values + size, [](float value) { return std::isfinite(value); });
}

std::vector<std::uint8_t> interleaved(const float* planes, std::size_t area) {
    std::vector<std::uint8_t> pixels(3 * area);
    for (std::size_t channel = 0; channel < 3; ++channel) {
        for (std::size_t place = 0; place < area; ++place) {
            pixels[3 * place + channel] = to_byte(planes[channel * area + place]);
        }
    }
    return pixels;
}

}  // namespace

std::vector<std::uint8_t> to_pixels(const float* decoded, std::size_t height, std::size_t width) {
    const std::size_t area = height * width;
    if (!are_finite(decoded, 3 * area)) throw Failure(Status::engine, "decoder: gave an image that is not finite");
    return interleaved(decoded, area);
}

void to_decoder(const float* latents, std::size_t size, const DecoderEntry& decoder, float* out) {
    const auto scaling = static_cast<float>(decoder.scaling_factor);
    const auto shift = static_cast<float>(decoder.shift_factor);
    for (std::size_t index = 0; index < size; ++index) out[index] = latents[index] / scaling + shift;
}

bool is_blank(const std::vector<std::uint8_t>& pixels) {
    if (pixels.empty()) return true;
    const auto [least, most] = std::minmax_element(pixels.begin(), pixels.end());
    return *most - *least <= BLANK;
}

std::vector<std::size_t> preview_moments(std::size_t count, std::size_t rows) {
    const std::size_t shown = rows == 0 ? 0 : std::min(count, rows - 1);
    std::vector<std::size_t> moments;
    for (std::size_t place = 1; place <= shown; ++place) moments.push_back(rows * place / (shown + 1));
    return moments;
}

std::optional<std::vector<std::uint8_t>> preview(const Trajectory& trajectory, const DecoderEntry& decoder,
                                                 std::size_t height, std::size_t width) {
    if (!decoder.preview) return std::nullopt;
    const std::size_t area = height * width, channels = trajectory.size() / area;
    std::vector<float> latents(trajectory.size()), colours(3 * area);
    trajectory.estimate(latents.data());
    for (std::size_t colour = 0; colour < 3; ++colour) {
        const std::vector<double>& row = (*decoder.preview)[colour];
        float* out = colours.data() + colour * area;
        for (std::size_t channel = 0; channel < channels; ++channel) {
            const auto weight = static_cast<float>(row[channel]);
            const float* from = latents.data() + channel * area;
            for (std::size_t place = 0; place < area; ++place) out[place] += weight * from[place];
        }
        const auto added = static_cast<float>(row[channels]);
        for (std::size_t place = 0; place < area; ++place) out[place] += added;
    }
    if (!are_finite(colours.data(), colours.size())) return std::nullopt;
    return interleaved(colours.data(), area);
}

}  // namespace aptp
