#include "diffusion/trajectory.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "diffusion/arithmetic.hpp"

namespace aptp {
namespace {

// A step is bound by memory, so it is walked in blocks that stay in the nearest cache.
constexpr std::size_t BLOCK = 2048;
// Floats, five lines of a cache, between two arrays. Latents of 64 by 64 are a power of two: without it the arrays of
// a step would begin in one set of the cache, and push each other out.
constexpr std::size_t PADDING = 80;

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
        if (count_ == 0) {
            std::fill(out, out + size, 0.0F);
            return;
        }
        std::array<const float*, TERMS> from{};
        for (std::size_t term = 0; term < count_; ++term) from[term] = values_[term] + start;
        arithmetic().sums[count_ - 1](from.data(), factors_.data(), out, size);
    }

private:
    std::size_t count_ = 0;
    std::array<const float*, TERMS> values_{};
    std::array<float, TERMS> factors_{};
};

}  // namespace

Trajectory::Trajectory(std::shared_ptr<const SolverSteps> steps, const float* noise, std::size_t size)
    : steps_(std::move(steps)),
      size_(size),
      stride_(size + PADDING),
      states_((steps_->window + 1) * stride_),
      outputs_(steps_->window * stride_) {
    arithmetic().multiply(noise, steps_->noise_scale, states_.data(), size);
}

void Trajectory::write_input(float* out) const { arithmetic().multiply(latents(), row().input_scale, out, size_); }

void Trajectory::advance(const float* given, const float* negative, float guidance) {
    float* model = outputs_.data() + (position_ % steps_->window) * stride_;
    float* total = states_.data() + ((position_ + 1) % (steps_->window + 1)) * stride_;
    Sum sum;
    for (const Term& term : row().states) sum.add(state(position_ - term.back), term.coefficient);
    for (const Term& term : row().outputs) sum.add(output(position_ - term.back), term.coefficient);
    for (std::size_t start = 0; start < size_; start += BLOCK) {
        const std::size_t size = std::min(BLOCK, size_ - start);
        if (negative == nullptr) {
            std::copy_n(given + start, size, model + start);
        } else {
            arithmetic().guide(given + start, negative + start, guidance, model + start, size);
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
    const Row& walked = steps_->rows[last];
    Sum sum;
    if (walked.of_state != 0) sum.add(state(last), walked.of_state);
    if (walked.of_output != 0) sum.add(output(last), walked.of_output);
    sum.write(0, size_, out);
}

const float* Trajectory::state(std::size_t position) const noexcept {
    return states_.data() + (position % (steps_->window + 1)) * stride_;
}

const float* Trajectory::output(std::size_t position) const noexcept {
    return outputs_.data() + (position % steps_->window) * stride_;
}

}  // namespace aptp
