// One image being made: its plan, its conditioning, its trajectory.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "diffusion/trajectory.hpp"
#include "engines/tensor.hpp"

namespace aptp {

// The expert for each row of the schedule.
using Plan = std::vector<std::string>;

// The plan that stays with one expert.
Plan constant_plan(const std::string& expert, std::size_t rows);

// By expert of a plan, the time embeddings of the schedule, [rows of the schedule, E].
using TimeEmbeddings = std::map<std::string, std::shared_ptr<const Tensor>>;

// A request between two UNet calls. One thread at a time.
class Request {
public:
    // Conditioning gives [1, ...] per UNet input; `negative` is nothing exactly where guidance is 1. `shape` is that of
    // the latents, [C, H, W].
    Request(Plan plan, Trajectory trajectory, std::array<std::int64_t, 3> shape, TimeEmbeddings embeddings,
            Conditioning conditioning, std::optional<Conditioning> negative, float guidance);

    const Plan& plan() const noexcept { return plan_; }
    const Trajectory& trajectory() const noexcept { return trajectory_; }
    const std::array<std::int64_t, 3>& shape() const noexcept { return shape_; }

    // The expert that the next UNet call needs.
    const std::string& expert() const { return plan_[trajectory_.position()]; }

    // Batch rows that the request takes.
    std::int64_t rows() const noexcept { return negative_ ? 2 : 1; }

    // How many values the next UNet call's time embedding has, and where they are.
    std::int64_t embedding_width() const { return embeddings().shape.back(); }
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
    const Tensor& embeddings() const { return *embeddings_.at(expert()); }

    Plan plan_;
    Trajectory trajectory_;
    std::array<std::int64_t, 3> shape_;
    TimeEmbeddings embeddings_;
    Conditioning conditioning_;
    std::optional<Conditioning> negative_;
    float guidance_;
};

}  // namespace aptp
