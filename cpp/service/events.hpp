// What a request tells on its way: each of these at most once, steps apart, in this order; then its image or failure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "errors.hpp"
#include "service/generated.hpp"

namespace aptp {

// It was let in; `ahead` of it are requests that have not started.
struct Queued {
    std::size_t ahead = 0;
};

// Its prompt is encoded and routed.
struct Started {
    RoutingDecision choice;
};

// `done` of the `total` rows of its schedule are walked, the last one at `timestep`. Where asked for: `preview` uint8
// [height, width, 3] of the latents' sides, and the `latents` now, float32 of `shape`.
struct Step {
    std::size_t done = 0;
    std::size_t total = 0;
    float timestep = 0;
    std::array<std::int64_t, 3> shape{};  // of the latents, [C, H, W]
    std::optional<std::vector<std::uint8_t>> preview;
    std::optional<std::vector<float>> latents;
};

// The image. Nothing follows.
struct Finished {
    std::shared_ptr<const Generated> image;
};

// Why there is no image. Nothing follows.
struct Failed {
    Status status = Status::failure;
    std::string message;
};

using Event = std::variant<Queued, Started, Step, Finished, Failed>;

// Whether nothing follows an event.
inline bool is_end(const Event& event) {
    return std::holds_alternative<Finished>(event) || std::holds_alternative<Failed>(event);
}

// Hears of a request: of its end once and nothing after it, never in two threads at once. Must not throw.
using Listener = std::function<void(const Event&)>;

}  // namespace aptp
