// Numbers as text and back: as printf and strtod have them in the C locale, which this program is in.
#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <optional>
#include <random>
#include <string>

#include "numbers.hpp"

namespace {

std::string printed(const char* form, double value) {
    std::array<char, 400> text{};
    std::snprintf(text.data(), text.size(), form, value);
    return text.data();
}

}  // namespace

TEST_CASE("digits and decimals are those of printf") {
    std::mt19937_64 random(7);
    std::uniform_real_distribution<double> mantissa(-10, 10);
    std::uniform_int_distribution<int> exponent(-320, 307);
    for (int count = 0; count < 2000; ++count) {
        const double value = count < 1000 ? mantissa(random) : std::scalbn(mantissa(random), 3 * exponent(random));
        CHECK(aptp::in_digits(value) == printed("%g", value));
        CHECK(aptp::in_decimals(value, 3) == printed("%.3f", value));
    }
    using Limits = std::numeric_limits<double>;
    for (const double value : {0.0, 1000.0, 1e6, 123456789.0, 0.0001, 0.00001, Limits::max(), Limits::lowest(),
                               Limits::denorm_min(), Limits::infinity()}) {
        CHECK(aptp::in_digits(value) == printed("%g", value));
        CHECK(aptp::in_decimals(value, 20) == printed("%.20f", value));
    }
    CHECK(aptp::in_digits(Limits::quiet_NaN()) == "nan");
}

TEST_CASE("what is read is all of the text, or nothing") {
    CHECK(aptp::read_integer("0") == 0);
    CHECK(aptp::read_integer("-12") == -12);
    CHECK(aptp::read_integer("9223372036854775807") == std::numeric_limits<std::int64_t>::max());
    CHECK(aptp::read_number("2.5") == 2.5);
    CHECK(aptp::read_number("-1e-3") == -0.001);
    for (const char* text : {"", " 1", "1 ", "+1", "1x", "x", "0x1"}) {
        CAPTURE(text);
        CHECK_FALSE(aptp::read_integer(text));
        CHECK_FALSE(aptp::read_number(text));
    }
    for (const char* text : {"9223372036854775808", "1.5", "1,5", "1.000.000"}) CHECK_FALSE(aptp::read_integer(text));
    for (const char* text : {"1,5", "1e999", "1.000.000"}) CHECK_FALSE(aptp::read_number(text));
}
