#include "api/describe.hpp"

#include <nlohmann/json.hpp>
#include <optional>

namespace aptp::api {

namespace {

template <typename Value>
nlohmann::json or_null(const std::optional<Value>& value) {
    return value ? nlohmann::json(*value) : nlohmann::json(nullptr);
}

}  // namespace

std::string describe(const Generated& generated) {
    const RoutingDecision& choice = generated.choice;
    const ResolvedParams& params = generated.params;
    const nlohmann::json described = {
        {"prompt", generated.prompt},
        {"seed", or_null(params.seed)},
        {"expert", choice.expert},
        {"code", or_null(choice.code)},
        {"margin", or_null(choice.margin)},
        {"fell_back", choice.fell_back},
        {"distance", or_null(choice.distance)},
        {"out_of_distribution", choice.out_of_distribution},
        {"solver", params.solver},
        {"steps", params.steps},
        {"guidance", params.guidance},
        {"height", params.height},
        {"width", params.width},
        {"negative_prompt", params.negative_prompt},
        {"dropped_tokens", generated.dropped_tokens},
        {"negative_dropped_tokens", generated.negative_dropped_tokens},
        {"blank", generated.blank},
    };
    return described.dump(-1, ' ', true);  // ASCII alone: text chunks of PNG are Latin-1
}

}  // namespace aptp::api
