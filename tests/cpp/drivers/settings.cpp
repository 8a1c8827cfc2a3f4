// room: request
// Checks what callers ask for: settings BUNDLE. A JSON object on each line of the input, of what is asked; on each line
// of the output the settings, or {"error": …, "message": …}.
#include <iostream>
#include <nlohmann/json.hpp>

#include "bundle/reader.hpp"
#include "errors.hpp"
#include "request/settings.hpp"

namespace {

using nlohmann::json;

template <typename Value>
std::optional<Value> optional(const json& asked, const char* name) {
    return asked.contains(name) ? std::optional<Value>(asked[name].get<Value>()) : std::nullopt;
}

json answer(const aptp::Manifest& manifest, const json& given) {
    aptp::Asked asked;
    asked.solver = optional<std::string>(given, "solver");
    asked.steps = optional<std::int64_t>(given, "steps");
    asked.guidance = optional<double>(given, "guidance");
    asked.height = optional<std::int64_t>(given, "height");
    asked.width = optional<std::int64_t>(given, "width");
    const aptp::Settings settings = aptp::resolve(manifest, asked);
    json expert;
    if (given.contains("code")) {
        expert = given["code"].is_string() ? aptp::check_expert(manifest, given["code"])
                                           : aptp::expert_of_code(manifest, given["code"]);
    }
    return {{"solver", settings.solver}, {"steps", settings.steps}, {"guidance", settings.guidance},
            {"height", settings.height}, {"width", settings.width}, {"expert", expert}};
}

}  // namespace

int main(int count, char** arguments) {
    if (count != 2) {
        std::cerr << "usage: settings BUNDLE\n";
        return 2;
    }
    const auto bundle = aptp::Bundle::open(arguments[1]);
    for (std::string line; std::getline(std::cin, line);) {
        try {
            std::cout << answer(bundle->manifest(), json::parse(line)) << '\n';
        } catch (const aptp::Failure& failure) {
            std::cout << json{{"error", aptp::name_of(failure.status())}, {"message", failure.what()}} << '\n';
        }
    }
}
