// room: request
// Checks what callers ask for: params BUNDLE. A JSON object on each line of the input, of what is asked; on each line
// of the output what that means, or {"error": …, "message": …}.
#include <iostream>
#include <nlohmann/json.hpp>

#include "bundle/reader.hpp"
#include "errors.hpp"
#include "request/params.hpp"

namespace {

using nlohmann::json;

template <typename Value>
std::optional<Value> optional(const json& asked, const char* name) {
    return asked.contains(name) ? std::optional<Value>(asked[name].get<Value>()) : std::nullopt;
}

json answer(const aptp::Manifest& manifest, const json& asked) {
    aptp::GenerationParams params;
    params.solver = optional<std::string>(asked, "solver");
    params.steps = optional<std::int64_t>(asked, "steps");
    params.guidance = optional<double>(asked, "guidance");
    params.height = optional<std::int64_t>(asked, "height");
    params.width = optional<std::int64_t>(asked, "width");
    if (asked.contains("code")) {
        params.code = asked["code"].is_string() ? asked["code"].get<std::string>() : asked["code"].dump();
    }
    const aptp::ResolvedParams resolved = params.resolve(manifest);
    return {{"solver", resolved.solver},     {"steps", resolved.steps},
            {"guidance", resolved.guidance}, {"height", resolved.height},
            {"width", resolved.width},       {"expert", resolved.expert ? json(*resolved.expert) : json()}};
}

}  // namespace

int main(int count, char** arguments) {
    if (count != 2) {
        std::cerr << "usage: params BUNDLE\n";
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
