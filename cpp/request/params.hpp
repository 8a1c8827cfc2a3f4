// What is drawn: all that a caller may ask of an image, and what that means for a bundle. Here a field of the request
// is listed and checked. Refusals name value, range and remedy.
#pragma once

#include <aptp.h>

#include <array>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "bundle/schema.hpp"

namespace aptp {

// Start latents as a caller gives them, float32 [C, H, W], not owned.
struct StartLatents {
    std::array<std::int64_t, 3> shape{};
    const float* values = nullptr;
};

// How an image is made, defaults filled in. `height` and `width` are pixels.
struct ResolvedParams {
    std::string negative_prompt;
    std::optional<std::uint64_t> seed;    // of the start noise; nothing where there are latents
    std::vector<float> latents;           // to start from, of `shape`; empty where there is a seed
    std::array<std::int64_t, 3> shape{};  // of latents, [C, H, W]
    std::int64_t steps = 0;
    double guidance = 1;  // which is none; as in diffusers, less is none too
    std::int64_t height = 0;
    std::int64_t width = 0;
    std::string solver;
    std::optional<std::string> expert;  // overrides the router

    // What is worth telling of an image beside its routing, in Python's order. No seed where latents were given.
    nlohmann::ordered_json recorded() const;

    // Whether the negative prompt is read, and a call takes two rows.
    bool is_guided() const noexcept { return guidance != 1; }
};

// What callers may ask besides a prompt; an empty optional means the bundle's default. `latents` replace the noise of
// `seed`, and give the size where none is asked. `code`, a number or `dense`, overrides the router.
struct GenerationParams {
    std::string negative_prompt;
    std::uint64_t seed = 0;
    std::optional<StartLatents> latents;
    std::optional<std::int64_t> steps;
    std::optional<double> guidance;
    std::optional<std::int64_t> height;
    std::optional<std::int64_t> width;
    std::optional<std::string> solver;
    std::optional<std::string> code;

    // What a caller in C asks; `latents` are still the caller's.
    static GenerationParams of(const aptp_request_options& asked);

    // Check each of them against what a bundle offers. Whether the solver offers `steps` is for its table to say.
    // Throws Failure (usage, code_unavailable).
    ResolvedParams resolve(const Manifest& manifest) const;
};

// `name` if the bundle holds that expert. Throws Failure (code_unavailable); `more` says why it was asked for.
const std::string& check_expert(const Manifest& manifest, const std::string& name, const std::string& more = "");

// Refuse start latents of another size than `shape`, or that hold a value which is not finite. Throws Failure (usage).
void check_latents(const StartLatents& latents, const std::array<std::int64_t, 3>& shape);

}  // namespace aptp
