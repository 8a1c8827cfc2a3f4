// What the runtime returns: an image, and how it came to be.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "request/params.hpp"

namespace aptp {

// Who makes an image: `code` is nothing for `dense`, `margin` nothing where the router was not asked or has no other
// code. `fell_back`: the bundle lacks the expert that should have. `distance`: how far the prompt lies from those of
// the training, where that is known; `out_of_distribution`: too far to be left to its code.
struct RoutingDecision {
    std::string expert;
    std::optional<std::int64_t> code;
    bool routed = false;
    std::optional<double> margin;
    bool fell_back = false;
    std::optional<double> distance;
    bool out_of_distribution = false;
};

// An image, uint8 [height, width, 3] of its parameters, and how it came to be.
struct Generated {
    std::vector<std::uint8_t> pixels;
    std::string prompt;
    RoutingDecision choice;
    ResolvedParams params;
    std::int64_t dropped_tokens = 0;           // of the prompt, those that did not fit
    std::int64_t negative_dropped_tokens = 0;  // of the negative prompt; 0 without guidance: nothing reads it then
    double milliseconds = 0;                   // this image's share of the work, without opening engines
    bool blank = false;                        // it shows nothing
};

}  // namespace aptp
