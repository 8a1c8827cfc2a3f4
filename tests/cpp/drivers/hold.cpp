// Opens a bundle, makes an image on its first expert, prints how many seconds that took since the process began to run,
// and holds the engines open until standard input ends.
//
//     hold BUNDLE CACHE ENGINE
#include <chrono>
#include <iostream>
#include <iterator>
#include <string>

#include "aptp.hpp"

int main(int count, char** arguments) {
    const auto begin = std::chrono::steady_clock::now();
    if (count != 4) return 2;
    try {
        aptp::OpenOptions options;
        options.cache = arguments[2];
        options.engine = arguments[3];
        aptp::Runtime runtime(arguments[1], options);
        aptp::RequestOptions asked;
        asked.code = "0";
        runtime.generate("a red circle", asked);
        const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - begin;
        std::cout << passed.count() << std::endl;
        const std::string rest(std::istreambuf_iterator<char>(std::cin), {});
        return 0;
    } catch (const aptp::Error& error) {
        std::cerr << error.what() << "\n";
        return 1;
    }
}
