#include "diffusion/noise.hpp"

#include <algorithm>
#include <cmath>

namespace aptp {
namespace {

constexpr int ROUNDS = 10;
constexpr double LN2 = 0.6931471805599453;
constexpr double SQRT_HALF = 0.7071067811865476;
constexpr double HALF_PI = 1.5707963267948966;

// The logarithm, the sine and the cosine of the standard library differ from one to the next; these are made of
// operations that IEEE 754 rounds exactly, in the order the format gives.

double log_series(double z) {
    double q = 1.0 / 21.0;
    for (int odd = 19; odd > 0; odd -= 2) q = q * z + 1.0 / odd;
    return q;
}

// Ten terms of a Taylor series, alternating, of 1/first! down to 1/(first - 18)!; the last is +1.
struct Series {
    explicit Series(int first) {
        for (int term = 0; term < 10; ++term) {
            const int number = first - 2 * term;
            double factorial = 1;
            for (int factor = 2; factor <= number; ++factor) factorial *= factor;
            coefficients[static_cast<std::size_t>(term)] = ((number / 2) % 2 == 0 ? 1.0 : -1.0) / factorial;
        }
    }

    double operator()(double z) const {
        double total = coefficients[0];
        for (std::size_t term = 1; term < coefficients.size(); ++term) total = total * z + coefficients[term];
        return total;
    }

    std::array<double, 10> coefficients{};
};

double log_of(double u) {
    int exponent = 0;
    double fraction = std::frexp(u, &exponent);
    if (fraction < SQRT_HALF) {
        fraction *= 2.0;
        exponent -= 1;
    }
    const double t = (fraction - 1.0) / (fraction + 1.0);
    return (2.0 * t) * log_series(t * t) + exponent * LN2;
}

struct CosSin {
    double cosine, sine;
};

// Of 2πv, for 0 <= v < 1.
CosSin cos_sin(double v) {
    static const Series sine_series(19), cosine_series(18);
    const double quadrant = std::floor(4.0 * v + 0.5);
    const double y = (4.0 * v - quadrant) * HALF_PI;
    const double z = y * y;
    const double sine = y * sine_series(z), cosine = cosine_series(z);
    switch (static_cast<int>(quadrant) % 4) {
        case 0:
            return {cosine, sine};
        case 1:
            return {-sine, cosine};
        case 2:
            return {-cosine, -sine};
        default:
            return {sine, -cosine};
    }
}

double to_unit(std::uint32_t word) { return (static_cast<double>(word) + 0.5) * 0x1p-32; }

void box_muller(std::uint32_t first, std::uint32_t second, float* out) {
    const double radius = std::sqrt(-2.0 * log_of(to_unit(first)));
    const CosSin angle = cos_sin(to_unit(second));
    out[0] = static_cast<float>(radius * angle.cosine);
    out[1] = static_cast<float>(radius * angle.sine);
}

}  // namespace

std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> counter, std::array<std::uint32_t, 2> key) {
    for (int round = 0; round < ROUNDS; ++round) {
        const std::uint64_t product0 = std::uint64_t{0xD2511F53} * counter[0];
        const std::uint64_t product1 = std::uint64_t{0xCD9E8D57} * counter[2];
        counter = {
            static_cast<std::uint32_t>(product1 >> 32) ^ counter[1] ^ key[0], static_cast<std::uint32_t>(product1),
            static_cast<std::uint32_t>(product0 >> 32) ^ counter[3] ^ key[1], static_cast<std::uint32_t>(product0)};
        key = {key[0] + 0x9E3779B9U, key[1] + 0xBB67AE85U};
    }
    return counter;
}

void normal(std::uint64_t seed, float* out, std::size_t count, std::uint32_t stream) {
    const std::array<std::uint32_t, 2> key{static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)};
    for (std::size_t start = 0; start < count; start += 4) {
        const auto words = philox({static_cast<std::uint32_t>(start / 4), 0, stream, 0}, key);
        std::array<float, 4> values{};
        box_muller(words[0], words[1], values.data());
        box_muller(words[2], words[3], values.data() + 2);
        std::copy_n(values.data(), std::min<std::size_t>(4, count - start), out + start);
    }
}

}  // namespace aptp
