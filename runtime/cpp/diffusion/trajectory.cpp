#include "diffusion/trajectory.hpp"

#include <algorithm>
#include <cmath>

namespace aptp {
namespace {

// The loops below are written for one pass over memory each, which is what a step costs. They keep every product and
// sum apart: the library is built without contraction to fused multiply-adds.

void multiply(const float* values, float factor, float* out, std::size_t size) {
    for (std::size_t index = 0; index < size; ++index) out[index] = values[index] * factor;
}

void add_product(const float* values, float factor, float* out, std::size_t size) {
    for (std::size_t index = 0; index < size; ++index) out[index] += values[index] * factor;
}

void guide(const float* output, const float* negative, float guidance, float* out, std::size_t size) {
    for (std::size_t index = 0; index < size; ++index) {
        out[index] = negative[index] + (output[index] - negative[index]) * guidance;
    }
}

// A sum of products, left to right, whose first two terms share a pass: nearly all rows have two.
class Sum {
public:
    Sum(float* out, std::size_t size) : out_(out), size_(size) {}

    void add(const float* values, float factor) {
        if (count_ == 0) {
            first_ = values;
            first_factor_ = factor;
        } else if (count_ == 1) {
            add_two(values, factor);
        } else {
            add_product(values, factor, out_, size_);
        }
        ++count_;
    }

    void finish() {
        if (count_ == 0) std::fill(out_, out_ + size_, 0.0F);
        if (count_ == 1) multiply(first_, first_factor_, out_, size_);
    }

private:
    void add_two(const float* values, float factor) {
        const float* first = first_;
        const float first_factor = first_factor_;
        float* out = out_;
        for (std::size_t index = 0; index < size_; ++index) {
            out[index] = first[index] * first_factor + values[index] * factor;
        }
    }

    float* out_;
    std::size_t size_;
    std::size_t count_ = 0;
    const float* first_ = nullptr;
    float first_factor_ = 0;
};

}  // namespace

Trajectory::Trajectory(std::shared_ptr<const Course> course, const float* noise, std::size_t size)
    : course_(std::move(course)), size_(size), states_((course_->window + 1) * size), outputs_(course_->window * size) {
    multiply(noise, course_->noise_scale, states_.data(), size);
}

void Trajectory::write_input(float* out) const { multiply(latents(), row().input_scale, out, size_); }

void Trajectory::advance(const float* given, const float* negative, float guidance) {
    float* model = outputs_.data() + (position_ % course_->window) * size_;
    if (negative == nullptr) {
        std::copy(given, given + size_, model);
    } else {
        guide(given, negative, guidance, model, size_);
    }
    float* total = states_.data() + ((position_ + 1) % (course_->window + 1)) * size_;
    Sum sum(total, size_);
    for (const Term& term : row().states) sum.add(state(position_ - term.back), term.coefficient);
    for (const Term& term : row().outputs) sum.add(output(position_ - term.back), term.coefficient);
    sum.finish();
    ++position_;
}

bool Trajectory::is_finite() const {
    const float* values = latents();
    return std::all_of(values, values + size_, [](float value) { return std::isfinite(value); });
}

void Trajectory::estimate(float* out) const {
    const std::size_t last = position_ - 1;
    const Row& walked = course_->rows[last];
    Sum sum(out, size_);
    if (walked.of_state != 0) sum.add(state(last), walked.of_state);
    if (walked.of_output != 0) sum.add(output(last), walked.of_output);
    sum.finish();
}

const float* Trajectory::state(std::size_t position) const noexcept {
    return states_.data() + (position % (course_->window + 1)) * size_;
}

const float* Trajectory::output(std::size_t position) const noexcept {
    return outputs_.data() + (position % course_->window) * size_;
}

}  // namespace aptp
