#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "diffusion/arithmetic.hpp"
#include "diffusion/noise.hpp"
#include "diffusion/pixels.hpp"
#include "diffusion/trajectory.hpp"
#include "errors.hpp"

using aptp::Failure;

namespace {

// The table of a solver, as a file has it.
std::string bytes(const std::vector<float>& values) {
    std::string data(4 * values.size(), '\0');
    std::memcpy(data.data(), values.data(), data.size());
    return data;
}

aptp::DecoderEntry decoder() {
    aptp::DecoderEntry entry;
    entry.scaling_factor = 0.5;
    entry.shift_factor = 0.25;
    entry.preview = {{0.5, 0.25, 0.1}, {0.0, -1.0, 0.0}, {-0.5, 0.5, -0.25}};
    return entry;
}

}  // namespace

TEST_CASE("the noise is that of the format's page") {
    std::vector<float> values(8);
    aptp::normal(0, values.data(), values.size());
    const std::vector<std::uint32_t> wanted{0x3f7dbb33, 0xbf6cb6b0, 0xbf1e1b9f, 0xbef6d1b2,
                                            0xbe1d5357, 0x3e392a6d, 0x3f54ec98, 0x3e4a2da3};
    std::vector<std::uint32_t> found(8);
    std::memcpy(found.data(), values.data(), 32);
    CHECK(found == wanted);
    std::vector<float> fewer(5);
    aptp::normal(0, fewer.data(), fewer.size());
    CHECK(std::equal(fewer.begin(), fewer.end(), values.begin()));
}

TEST_CASE("Philox has its authors' answers") {
    const std::uint32_t most = 0xffffffff;
    CHECK(aptp::philox({0, 0, 0, 0}, {0, 0}) ==
          std::array<std::uint32_t, 4>{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
    CHECK(aptp::philox({most, most, most, most}, {most, most}) ==
          std::array<std::uint32_t, 4>{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
}

namespace {

// A request's parameters, of which a solver reads the steps.
aptp::ResolvedParams taking(std::int64_t steps) {
    aptp::ResolvedParams params;
    params.steps = steps;
    return params;
}

}  // namespace

TEST_CASE("the steps of a solver have the rows of their count") {
    const aptp::ScheduleEntry entry{"t", 1, {1, 0, 2}, {1.0, 1.0, 2.0}};
    const aptp::Solver solver("s", entry,
                              bytes({1, 1, 0.5F, 0, 0, 0, 2, 1, 0.25F, 1, 0, 0, 3, 0.5F, 0, 0, 0.75F, -0.5F}));
    CHECK(solver.steps(taking(1))->rows[0].timestep == 1);
    const auto found = solver.steps(taking(3));
    CHECK(found == solver.steps(taking(3)));
    CHECK(found->noise_scale == 2.0F);
    CHECK(found->rows.size() == 2);
    CHECK(found->rows[0].states.size() == 1);
    CHECK(found->rows[1].states.empty());
    CHECK(found->rows[1].of_output == -0.5F);
    for (const std::int64_t steps : {-1, 0, 2, 4}) {
        CHECK_THROWS_WITH_AS(
            solver.steps(taking(steps)),
            ("steps " + std::to_string(steps) + ": solver 's' offers 1, 3; choose one of these").c_str(), Failure);
    }
}

TEST_CASE("a table that cannot be walked is refused") {
    const aptp::ScheduleEntry entry{"t", 2, {1}, {1.0}};
    CHECK_THROWS_AS(aptp::Solver("s", entry, bytes({1, 1, 1, 1, 0, 0, 0, 0})).steps(taking(1)), Failure);  // of before
    CHECK_THROWS_AS(aptp::Solver("s", entry, bytes({1, 1, 1, NAN, 0, 0, 0, 0})), Failure);
    CHECK_THROWS_AS(aptp::Solver("s", entry, bytes({1, 1, 1})), Failure);
    CHECK_THROWS_AS(aptp::Solver("s", entry, bytes({1, 1, 1, 0, 0, 0, 0, 0}) + "x"), Failure);
}

TEST_CASE("the preview is that of the format's page") {
    aptp::SolverSteps steps;
    steps.rows.push_back({0, 1, {{0, 0.9F}}, {{0, -0.2F}}, 0.75F, -0.5F});
    const std::vector<float> state{0.8F, -0.4F}, output{0.4F, 0.6F};
    aptp::Trajectory trajectory(std::make_shared<const aptp::SolverSteps>(steps), state.data(), 2);
    trajectory.advance(output.data());
    CHECK(trajectory.done());
    CHECK(trajectory.latents()[0] == 0.8F * 0.9F + 0.4F * -0.2F);
    std::vector<float> estimate(2);
    trajectory.estimate(estimate.data());
    CHECK(estimate[0] == doctest::Approx(0.4));
    CHECK(estimate[1] == doctest::Approx(-0.6));
    CHECK(*aptp::preview(trajectory, decoder(), 1, 1) == std::vector<std::uint8_t>{147, 204, 32});
    aptp::DecoderEntry without = decoder();
    without.preview.reset();
    CHECK_FALSE(aptp::preview(trajectory, without, 1, 1));
}

TEST_CASE("rings keep what a window reads, and guidance is of two outputs") {
    aptp::SolverSteps steps;
    steps.window = 2;
    steps.rows.push_back({0, 2, {{0, 1.0F}}, {{0, 1.0F}}, 0, 0});
    steps.rows.push_back({1, 1, {{0, 1.0F}, {1, 1.0F}}, {{0, 1.0F}, {1, 10.0F}}, 0, 0});
    steps.rows.push_back({2, 1, {{1, 1.0F}}, {{1, 1.0F}}, 0, 0});
    steps.rows.push_back({3, 1, {}, {}, 0, 0});
    const float noise = 3;
    aptp::Trajectory trajectory(std::make_shared<const aptp::SolverSteps>(steps), &noise, 1);
    float input = 0;
    trajectory.write_input(&input);
    CHECK(input == 6.0F);
    const float one = 1, five = 5;
    trajectory.advance(&five, &one, 2.0F);  // m = 1 + 2·(5 − 1) = 9
    CHECK(*trajectory.latents() == 12.0F);
    trajectory.advance(&one);
    CHECK(*trajectory.latents() == 12.0F + 3.0F + 1.0F + 90.0F);
    trajectory.advance(&five);
    CHECK(*trajectory.latents() == 12.0F + 1.0F);
    CHECK(trajectory.is_finite());
    trajectory.advance(&five);
    CHECK(*trajectory.latents() == 0.0F);
    CHECK(trajectory.done());
}

TEST_CASE("arithmetic has the same bits in every width") {
    constexpr std::size_t SIZE = 1003;  // no multiple of any width
    std::vector<std::vector<float>> arrays(aptp::TERMS, std::vector<float>(SIZE));
    std::vector<const float*> values;
    std::vector<float> factors;
    float next = 0.1F;
    for (auto& array : arrays) {
        for (float& value : array) value = next = 3.9F * next * (1 - next);  // logistic, so without a pattern
        values.push_back(array.data());
        factors.push_back(next - 0.5F);
    }
    const aptp::Arithmetic &plain = aptp::plain_arithmetic(), &wide = aptp::arithmetic();
    std::vector<float> one(SIZE), other(SIZE);
    const auto same = [&] { return std::memcmp(one.data(), other.data(), SIZE * sizeof(float)) == 0; };
    plain.multiply(values[0], 1.1F, one.data(), SIZE);
    wide.multiply(values[0], 1.1F, other.data(), SIZE);
    CHECK(same());
    plain.guide(values[0], values[1], 7.5F, one.data(), SIZE);
    wide.guide(values[0], values[1], 7.5F, other.data(), SIZE);
    CHECK(same());
    CHECK(one[SIZE - 1] == values[1][SIZE - 1] + (values[0][SIZE - 1] - values[1][SIZE - 1]) * 7.5F);
    for (std::size_t count = 1; count <= aptp::TERMS; ++count) {
        plain.sums[count - 1](values.data(), factors.data(), one.data(), SIZE);
        wide.sums[count - 1](values.data(), factors.data(), other.data(), SIZE);
        CHECK(same());
    }
}

TEST_CASE("floats become bytes, halves to even") {
    const std::vector<float> planes{-2, 0.25F, -0.5F, -1, 0, 1, 1, 1, 3};  // 0 is 127.5
    const std::vector<std::uint8_t> pixels = aptp::to_pixels(planes.data(), 1, 3);
    CHECK(pixels == std::vector<std::uint8_t>{0, 0, 255, 159, 128, 255, 64, 255, 255});
    const std::vector<float> broken{0, 0, std::numeric_limits<float>::infinity()};
    CHECK_THROWS_AS(aptp::to_pixels(broken.data(), 1, 1), Failure);
    CHECK(aptp::is_blank({7, 8, 9}));
    CHECK_FALSE(aptp::is_blank({7, 8, 10}));
    const float latent = 2;
    float given = 0;
    aptp::to_decoder(&latent, 1, decoder(), &given);
    CHECK(given == 4.25F);
}

TEST_CASE("previews are spread evenly, and never after the last row") {
    CHECK(aptp::preview_moments(3, 20) == std::vector<std::size_t>{5, 10, 15});
    CHECK(aptp::preview_moments(100, 4) == std::vector<std::size_t>{1, 2, 3});
    CHECK(aptp::preview_moments(5, 1).empty());
    CHECK(aptp::preview_moments(5, 0).empty());
    CHECK(aptp::preview_moments(0, 10).empty());
}
