// room: models
// cache_entries BUNDLE CACHE [group]: makes every entry of the cache that the models of the bundle need, prints graphs.
// Warnings are on standard error. CACHE may be empty for the default; `group` trusts the group of its folder.
#include <iostream>

#include "bundle/reader.hpp"
#include "errors.hpp"
#include "models/cache.hpp"

int main(int count, char** arguments) {
    if (count != 3 && count != 4) return 2;
    try {
        const auto bundle = aptp::Bundle::open(arguments[1]);
        aptp::CacheOptions options;
        if (*arguments[2] != '\0') options.folder = arguments[2];
        options.group_writable = count == 4;
        options.warn = [](const std::string& message) { std::cerr << message << "\n"; };
        aptp::Cache cache{options};
        for (const auto& encoder : bundle->manifest().encoders) {
            std::cout << cache.serving_graph(*bundle, encoder.model).string() << "\n";
        }
        std::cout << cache.serving_graph(*bundle, bundle->manifest().decoder.model).string() << "\n";
        for (const auto& [name, expert] : bundle->manifest().experts) {
            std::cout << cache.serving_graph(*bundle, expert.model).string() << "\n";
            if (!cache.is_unchanged(*bundle, expert.model)) return 3;
        }
    } catch (const aptp::Failure& failure) {
        std::cout << aptp::name_of(failure.status()) << ": " << failure.what() << "\n";
        return 1;
    }
    return 0;
}
