// What a caller asks for, checked against what the bundle offers. Refusals name value, range and remedy.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bundle/schema.hpp"

namespace aptp {

// What callers may ask besides a prompt; nothing means the bundle's default. Sides are pixels.
struct Asked {
    std::string negative_prompt;
    std::optional<std::string> solver;
    std::optional<std::int64_t> steps;
    std::optional<double> guidance;
    std::optional<std::int64_t> height;
    std::optional<std::int64_t> width;
};

// How images are made. `height` and `width` are pixels.
struct Settings {
    std::string solver;
    std::int64_t steps = 0;
    double guidance = 1;
    std::int64_t height = 0;
    std::int64_t width = 0;
    std::string negative_prompt;
};

// Settings with the bundle's defaults for what is not asked. Whether the solver offers `steps` is for its table to say.
// Throws Failure (usage), as all that follow.
Settings resolve(const Manifest& manifest, const Asked& asked);

// The name of the expert for a code that a caller asks for, 0 to router.codes - 1. Throws Failure (code_unavailable)
// where the bundle does not hold it.
std::string expert_of_code(const Manifest& manifest, std::int64_t code);

// `name` if the bundle holds that expert. Throws Failure (code_unavailable); `more` says why it was asked for.
const std::string& check_expert(const Manifest& manifest, const std::string& name, const std::string& more = "");

// The shape [C, H, W] of the latents for an image of these settings.
std::array<std::int64_t, 3> latents_shape(const Manifest& manifest, const Settings& settings);

// Refuse start latents of another size than `shape`, or that hold a value which is not finite.
void check_latents(const float* latents, const std::array<std::int64_t, 3>& given,
                   const std::array<std::int64_t, 3>& shape);

void check_priority(std::int64_t value);  // -1, 0 or 1
void check_deadline(double seconds);      // a number above 0
void check_previews(std::int64_t count);  // at least 0

// An integer of at least 1; `name` is what messages call it.
void check_limit(std::int64_t value, const std::string& name);

}  // namespace aptp
