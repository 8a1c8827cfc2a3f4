// room: api
// routes BUNDLE CACHE: a JSON array of prompts on standard input; prints a line
// of JSON for the route of each.
#include <aptp.h>

#include <cmath>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

int main(int count, char** arguments) {
    using Json = nlohmann::json;
    if (count != 3) return 2;
    aptp_open_options options = APTP_OPEN_OPTIONS_INIT;
    options.engine = "cpu";
    options.cache = arguments[2];
    aptp_runtime* runtime = nullptr;
    if (aptp_open(arguments[1], &options, &runtime) != APTP_OK) {
        std::cerr << aptp_error() << "\n";
        return 1;
    }
    for (const Json& prompt : Json::parse(std::cin)) {
        aptp_route route = APTP_ROUTE_INIT;
        if (aptp_route_prompt(runtime, prompt.get<std::string>().c_str(), &route) != APTP_OK) {
            std::cout << Json{{"error", aptp_error()}} << "\n";
            continue;
        }
        const Json distance = std::isnan(route.distance) ? Json(nullptr) : Json(route.distance);
        std::cout << Json{{"code", route.code}, {"margin", route.margin}, {"distance", distance}} << "\n";
    }
    aptp_close(runtime);
    return 0;
}
