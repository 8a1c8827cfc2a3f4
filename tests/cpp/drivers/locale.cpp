// Opens a bundle and draws in a program of another locale, which comes before the opening or after it. Prints as JSON
// what it got, and says there how that program writes one half.
//
//     locale BUNDLE CACHE LOCALE early|late
#include <array>
#include <clocale>
#include <cstdio>
#include <iostream>
#include <locale>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "aptp.hpp"

namespace {

void change(const char* name) {
    if (std::setlocale(LC_ALL, name) == nullptr) throw std::runtime_error("no such locale");
    std::locale::global(std::locale(name));
}

std::string half() {
    std::array<char, 16> text{};
    std::snprintf(text.data(), text.size(), "%.1f", 0.5);
    return text.data();
}

template <typename Call>
std::string message(Call call) {
    try {
        call();
        return "";
    } catch (const aptp::Error& error) {
        return error.what();
    }
}

}  // namespace

int main(int count, char** arguments) {
    if (count != 5) return 2;
    const bool is_early = std::string(arguments[4]) == "early";
    if (is_early) change(arguments[3]);
    aptp::OpenOptions options;
    options.engine = "cpu";
    options.cache = arguments[2];
    options.threads = 1;
    aptp::Runtime runtime(arguments[1], options);
    if (!is_early) change(arguments[3]);
    aptp::RequestOptions asked;
    asked.seed = 1234567;
    asked.guidance = 2.5;
    const aptp::Image image = runtime.generate("a red circle", asked);
    const std::vector<std::uint8_t> png = image.png();
    const std::string bytes(png.begin(), png.end());
    const std::size_t begin = bytes.find("{\""), end = bytes.find('}', begin);
    nlohmann::json told;
    told["half"] = half();
    told["pixels"] = std::vector<std::uint8_t>(image.pixels(), image.pixels() + 3 * image.height() * image.width());
    told["text"] = bytes.substr(begin, end + 1 - begin);
    asked.guidance = 1000.5;
    told["guidance"] = message([&] { runtime.submit("x", asked); });
    asked.guidance.reset();
    asked.deadline = -0.25;
    told["deadline"] = message([&] { runtime.submit("x", asked); });
    told["reloaded"] = message([&] { runtime.reload(); });
    std::cout << told.dump() << std::endl;
}
