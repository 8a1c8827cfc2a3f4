#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "models/unpacked.hpp"

namespace {

// What IEEE 754 says of a half, by arithmetic.
double meaning(unsigned half) {
    const double sign = (half & 0x8000U) != 0 ? -1.0 : 1.0;
    const int exponent = static_cast<int>(half >> 10 & 0x1fU);
    const double fraction = static_cast<double>(half & 0x3ffU) / 1024;
    return sign * (exponent == 0 ? std::ldexp(fraction, -14) : std::ldexp(1 + fraction, exponent - 15));
}

}  // namespace

TEST_CASE("every half has the float of the same value") {
    std::vector<std::uint16_t> halves(1 << 16);
    for (unsigned half = 0; half < halves.size(); ++half) halves[half] = static_cast<std::uint16_t>(half);
    std::vector<float> wide(halves.size());
    aptp::widen(reinterpret_cast<const char*>(halves.data()), halves.size(), wide.data());
    for (unsigned half = 0; half < halves.size(); ++half) {
        CAPTURE(half);
        const bool has_value = (half & 0x7c00U) != 0x7c00U;
        if (has_value) {
            REQUIRE(static_cast<double>(wide[half]) == meaning(half));
        } else {
            REQUIRE(std::isinf(wide[half]) == ((half & 0x3ffU) == 0));
            REQUIRE(std::isnan(wide[half]) == ((half & 0x3ffU) != 0));
        }
        REQUIRE(std::signbit(wide[half]) == ((half & 0x8000U) != 0));
    }
}

TEST_CASE("where the halves lie does not matter") {
    const unsigned char bytes[] = {0xff, 0x00, 0x3c, 0x00, 0xc0};  // 1 and -2, from an odd address
    float wide[2] = {};
    aptp::widen(reinterpret_cast<const char*>(bytes) + 1, 2, wide);
    CHECK(wide[0] == 1.0F);
    CHECK(wide[1] == -2.0F);
}

TEST_CASE("every float of a half gives the half again, and no other float does") {
    std::vector<std::uint16_t> halves(1 << 16);
    for (unsigned half = 0; half < halves.size(); ++half) halves[half] = static_cast<std::uint16_t>(half);
    std::vector<float> wide(halves.size());
    aptp::widen(reinterpret_cast<const char*>(halves.data()), halves.size(), wide.data());
    std::vector<std::uint16_t> back(halves.size());
    CHECK(aptp::narrow(wide.data(), wide.size(), reinterpret_cast<char*>(back.data())));
    CHECK(back == halves);
    const float infinite = std::numeric_limits<float>::infinity();
    for (std::size_t half = 0; half < halves.size(); ++half) {
        CAPTURE(half);
        float beside = std::nextafter(wide[half], infinite);
        if (std::isfinite(wide[half])) REQUIRE_FALSE(aptp::narrow(&beside, 1, reinterpret_cast<char*>(back.data())));
    }
    for (float beyond : {65536.0F, -65520.0F, 1e30F, 1e-10F, 0x1p-25F}) {
        CAPTURE(beyond);
        CHECK_FALSE(aptp::narrow(&beyond, 1, reinterpret_cast<char*>(back.data())));
    }
}
