// Which code a prompt goes to, whatever other prompts there are (docs/BUNDLE.md, "Routing").
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "bundle/schema.hpp"

namespace aptp {

// A code, and by how much its similarity beats that of every other (nothing if there is no other). `distance`: how far
// the prompt lies from those of the training (about 1: like them); nothing where the bundle cannot tell.
struct RouterOutput {
    std::int64_t code = 0;
    std::optional<double> margin;
    std::optional<double> distance;
};

// The lowest code whose similarity, of `codes`, lies within `tie` of the best.
RouterOutput choose_code(const float* similarity, std::size_t codes, double tie);

// Whose a prompt is: the expert of its code, or (true) that of prompts unlike those of the training.
std::pair<std::string, bool> wanted(const RouterEntry& entry, const RouterOutput& route);

}  // namespace aptp
