#include "api/describe.hpp"

#include <nlohmann/json.hpp>
#include <optional>

namespace aptp::api {

namespace {

template <typename Value>
nlohmann::ordered_json or_null(const std::optional<Value>& value) {
    return value ? nlohmann::ordered_json(*value) : nlohmann::ordered_json(nullptr);
}

nlohmann::ordered_json describe(const Generated& generated) {
    const RoutingDecision& choice = generated.choice;
    const nlohmann::ordered_json params = generated.params.recorded();
    nlohmann::ordered_json described;
    described["prompt"] = generated.prompt;
    described["seed"] = params.at("seed");
    described.update({
        {"expert", choice.expert},
        {"code", or_null(choice.code)},
        {"margin", or_null(choice.margin)},
        {"fell_back", choice.fell_back},
        {"distance", or_null(choice.distance)},
        {"out_of_distribution", choice.out_of_distribution},
    });
    described.update(params);
    described.update({
        {"dropped_tokens", generated.dropped_tokens},
        {"negative_dropped_tokens", generated.negative_dropped_tokens},
        {"blank", generated.blank},
    });
    return described;
}

}  // namespace

std::string description(const Generated& generated) { return describe(generated).dump(-1, ' ', true); }

std::string sorted_description(const Generated& generated) {
    return nlohmann::json(describe(generated)).dump(-1, ' ', true);
}

}  // namespace aptp::api
