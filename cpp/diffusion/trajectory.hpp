// Walking one image's latents along the rows of a solver: float32, left to right, every product and sum rounded on its
// own.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "diffusion/schedule.hpp"

namespace aptp {

// One image's latents on their way along the rows of a solver. All arrays are `size` floats, [C, H, W] in C order.
// States and outputs of the last steps live in rings as long as the window asks, and are never copied. One thread at a
// time.
class Trajectory {
public:
    // `noise` is read here, and not kept.
    Trajectory(std::shared_ptr<const SolverSteps> steps, const float* noise, std::size_t size);

    const SolverSteps& steps() const noexcept { return *steps_; }
    std::size_t position() const noexcept { return position_; }
    std::size_t size() const noexcept { return size_; }

    // The row whose UNet call comes next; not done yet.
    const Row& row() const { return steps_->rows[position_]; }

    // Whether every row has been walked.
    bool done() const noexcept { return position_ == steps_->rows.size(); }

    // Write the UNet's next input.
    void write_input(float* out) const;

    // Walk the next row with the UNet's output for the prompt, guided away from the `negative` one's, if there is one.
    void advance(const float* output, const float* negative = nullptr, float guidance = 1.0F);

    // The current state, until the next `advance`.
    const float* latents() const noexcept { return state(position_); }

    // Whether every value of the current state is finite.
    bool is_finite() const;

    // Write what the clean latents were last predicted to be. At least one row has been walked.
    void estimate(float* out) const;

private:
    const float* state(std::size_t position) const noexcept;
    const float* output(std::size_t position) const noexcept;

    std::shared_ptr<const SolverSteps> steps_;
    std::size_t size_;
    std::size_t stride_;  // from one array to the next
    std::size_t position_ = 0;
    std::vector<float> states_;   // window + 1 arrays: the next one is summed up while all of the window is still read
    std::vector<float> outputs_;  // window arrays
};

}  // namespace aptp
