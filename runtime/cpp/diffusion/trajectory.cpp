#include "diffusion/trajectory.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace aptp {
namespace {

// A step is bound by memory, so it is walked in blocks that stay in the nearest cache. Every product and every sum is
// kept apart: the library is built without contraction to fused multiply-adds.
constexpr std::size_t BLOCK = 2048;
constexpr std::size_t TERMS = 8;  // the widest window's, of states and outputs

void multiply(const float* values, float factor, float* out, std::size_t size) {
    for (std::size_t index = 0; index < size; ++index) out[index] = values[index] * factor;
}

// The sum of COUNT products, in one pass: nothing of it is written before it is whole.
template <std::size_t COUNT>
void add_products(const float* const* values, const float* factors, std::size_t start, float* out, std::size_t size) {
    std::array<const float*, COUNT> from{};
    std::array<float, COUNT> times{};
    for (std::size_t term = 0; term < COUNT; ++term) from[term] = values[term] + start;
    std::copy_n(factors, COUNT, times.begin());
    for (std::size_t index = 0; index < size; ++index) {
        float total = from[0][index] * times[0];
        for (std::size_t term = 1; term < COUNT; ++term) total += from[term][index] * times[term];
        out[index] = total;
    }
}

void guide(const float* output, const float* negative, float guidance, float* out, std::size_t size) {
    for (std::size_t index = 0; index < size; ++index) {
        out[index] = negative[index] + (output[index] - negative[index]) * guidance;
    }
}

// A sum of products, left to right.
class Sum {
public:
    void add(const float* values, float factor) {
        values_[count_] = values;
        factors_[count_] = factor;
        ++count_;
    }

    // Writes `size` values of the sum from the place `start` on.
    void write(std::size_t start, std::size_t size, float* out) const {
        using Pass = void (*)(const float* const*, const float*, std::size_t, float*, std::size_t);
        static constexpr std::array<Pass, TERMS> PASSES{
            add_products<1>, add_products<2>, add_products<3>, add_products<4>,
            add_products<5>, add_products<6>, add_products<7>, add_products<8>,
        };
        if (count_ == 0) {
            std::fill(out, out + size, 0.0F);
        } else {
            PASSES[count_ - 1](values_.data(), factors_.data(), start, out, size);
        }
    }

private:
    std::size_t count_ = 0;
    std::array<const float*, TERMS> values_{};
    std::array<float, TERMS> factors_{};
};

}  // namespace

Trajectory::Trajectory(std::shared_ptr<const Course> course, const float* noise, std::size_t size)
    : course_(std::move(course)), size_(size), states_((course_->window + 1) * size), outputs_(course_->window * size) {
    multiply(noise, course_->noise_scale, states_.data(), size);
}

void Trajectory::write_input(float* out) const { multiply(latents(), row().input_scale, out, size_); }

void Trajectory::advance(const float* given, const float* negative, float guidance) {
    float* model = outputs_.data() + (position_ % course_->window) * size_;
    float* total = states_.data() + ((position_ + 1) % (course_->window + 1)) * size_;
    Sum sum;
    for (const Term& term : row().states) sum.add(state(position_ - term.back), term.coefficient);
    for (const Term& term : row().outputs) sum.add(output(position_ - term.back), term.coefficient);
    for (std::size_t start = 0; start < size_; start += BLOCK) {
        const std::size_t size = std::min(BLOCK, size_ - start);
        if (negative == nullptr) {
            std::copy_n(given + start, size, model + start);
        } else {
            guide(given + start, negative + start, guidance, model + start, size);
        }
        sum.write(start, size, total + start);
    }
    ++position_;
}

bool Trajectory::is_finite() const {
    const float* values = latents();
    return std::all_of(values, values + size_, [](float value) { return std::isfinite(value); });
}

void Trajectory::estimate(float* out) const {
    const std::size_t last = position_ - 1;
    const Row& walked = course_->rows[last];
    Sum sum;
    if (walked.of_state != 0) sum.add(state(last), walked.of_state);
    if (walked.of_output != 0) sum.add(output(last), walked.of_output);
    sum.write(0, size_, out);
}

const float* Trajectory::state(std::size_t position) const noexcept {
    return states_.data() + (position % (course_->window + 1)) * size_;
}

const float* Trajectory::output(std::size_t position) const noexcept {
    return outputs_.data() + (position % course_->window) * size_;
}

}  // namespace aptp
