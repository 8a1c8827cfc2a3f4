#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "errors.hpp"
#include "images/png.hpp"

TEST_CASE("a PNG begins as one and holds its text") {
    const std::vector<std::uint8_t> pixels{255, 0, 0, 0, 255, 0, 0, 0, 255, 1, 2, 3};
    const auto bytes = aptp::encode_png(pixels.data(), 2, 2, R"({"prompt": "a red circle"})");
    const std::string text(bytes.begin(), bytes.end());
    CHECK(text.substr(1, 3) == "PNG");
    CHECK(text.find(std::string("tEXtaptp\0{\"prompt\": \"a red circle\"}", 35)) != std::string::npos);
    CHECK(aptp::encode_png(pixels.data(), 2, 2).size() < bytes.size());
}

TEST_CASE("what libpng refuses is a failure, and nothing worse") {
    CHECK_THROWS_AS(aptp::encode_png(nullptr, 0, 4), aptp::Failure);
}
