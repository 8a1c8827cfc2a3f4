#include "models/router_output.hpp"

#include <algorithm>

namespace aptp {

RouterOutput choose_code(const float* similarity, std::size_t codes, double tie) {
    const float* end = similarity + codes;
    const float* best = std::max_element(similarity, end);
    // In float32, as the similarities are; the tie is rounded once.
    const float near = static_cast<float>(tie);
    const float* first = std::find_if(similarity, end, [&](float value) { return *best - value <= near; });
    RouterOutput route;
    route.code = first - similarity;
    // Of the best, not of the winner of a tie: a tie's margin is tiny, never negative.
    std::optional<float> other;
    for (const float* each = similarity; each != end; ++each) {
        if (each != best && (!other || *each > *other)) other = *each;
    }
    if (other) route.margin = static_cast<double>(*best - *other);
    return route;
}

std::pair<std::string, bool> wanted(const RouterEntry& entry, const RouterOutput& route) {
    const auto& rule = entry.out_of_distribution;
    if (rule && route.distance && *route.distance > rule->threshold) return {rule->expert, true};
    return {std::to_string(route.code), false};
}

}  // namespace aptp
