// What a caller asks for, checked against the bundle before anything is spent on it.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "diffusion/schedule.hpp"
#include "models/models.hpp"
#include "request/settings.hpp"

namespace aptp {

// Start latents as a caller gives them, float32 [C, H, W].
struct StartLatents {
    std::array<std::int64_t, 3> shape{};
    const float* values = nullptr;
};

// What callers may ask besides a prompt. Nothing: the bundle's default. `latents` replace the noise of `seed`, and give
// the size where none is asked. `code`, a number or `dense`, overrides the router.
struct Wanted {
    Asked settings;
    std::uint64_t seed = 0;
    std::optional<StartLatents> latents;
    std::optional<std::string> code;
};

// How a request is to be served: higher `priority` first, all of it within `seconds`. It is told of each of its `steps`
// where wanted; then `previews` of them show the image, and all have the `latents` where wanted. Telling takes the
// cores from calls: nobody is told who does not ask.
struct Wish {
    std::int64_t priority = 0;
    std::optional<double> seconds;
    bool steps = false;
    std::int64_t previews = 0;
    bool latents = false;
};

// Refuse a wish that cannot be. Throws Failure (usage).
void check_wish(const Wish& wish);

// One image, as asked for.
struct Order {
    std::string prompt;
    Settings settings;
    std::shared_ptr<const Course> course;
    std::array<std::int64_t, 3> shape{};  // of latents, [C, H, W]
    std::optional<std::string> expert;    // overrides the router
    std::optional<std::uint64_t> seed;    // nothing where there are latents
    std::vector<float> latents;
};

// The order for `prompt`. Throws Failure (usage, code_unavailable, manifest, integrity).
Order take(Models& models, const std::string& prompt, const Wanted& wanted);

}  // namespace aptp
