// The latents of one image between two UNet calls: where they are on their way, and what every call of theirs needs.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "diffusion/trajectory.hpp"
#include "engines/tensor.hpp"

namespace aptp {

// One image's latents, which one expert denoises. One thread at a time.
class Denoising {
public:
    // `shape` is that of the latents, [C, H, W]; `time_embeddings` [rows of the schedule, E] are by the expert's clock.
    // Conditioning gives [1, ...] per UNet input; `negative` is nothing exactly where guidance is off.
    Denoising(std::string expert, Trajectory trajectory, std::array<std::int64_t, 3> shape,
              std::shared_ptr<const Tensor> time_embeddings, Conditioning conditioning,
              std::optional<Conditioning> negative, float guidance);

    const std::string& expert() const noexcept { return expert_; }
    const Trajectory& trajectory() const noexcept { return trajectory_; }
    const std::array<std::int64_t, 3>& shape() const noexcept { return shape_; }

    // Batch rows that it takes.
    std::int64_t rows() const noexcept { return negative_ ? 2 : 1; }

    // How many values the next UNet call's time embedding has, and where they are.
    std::int64_t embedding_width() const { return time_embeddings_->shape.back(); }
    const float* time_embedding() const;

    // The conditioning of each of its rows: negative first.
    std::vector<const Conditioning*> halves() const;

    // Whether every step is taken.
    bool ended() const noexcept { return trajectory_.done(); }

    // Write the next UNet input into `sample` [rows, C, H, W].
    void write_input(float* sample) const;

    // Take a step with the UNet's `output` [rows, C, H, W].
    void advance(const float* output);

    // The final latents. Throws Failure (engine) where they are not finite.
    const float* result() const;

    double seconds = 0;  // its share of the calls so far

private:
    std::string expert_;
    Trajectory trajectory_;
    std::array<std::int64_t, 3> shape_;
    std::shared_ptr<const Tensor> time_embeddings_;
    Conditioning conditioning_;
    std::optional<Conditioning> negative_;
    float guidance_;
};

}  // namespace aptp
