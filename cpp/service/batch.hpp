// A UNet call that several requests share: arrays made once, for as long as the same ones stay together.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "engines/engine.hpp"
#include "service/denoising.hpp"

namespace aptp {

using Denoisings = std::vector<std::shared_ptr<Denoising>>;

// A group of requests and the arrays of its UNet calls: while it stays, only latents are rewritten.
class Batch {
public:
    // At least one request; they need the same engine, and have latents of one shape.
    explicit Batch(Denoisings denoisings);

    const Denoisings& denoisings() const noexcept { return denoisings_; }
    std::int64_t rows() const noexcept { return rows_; }

    // One UNet call, and the step after it for every request. Throws Failure (engine).
    void run(Engine& engine);

private:
    void write_input(std::size_t index);
    EngineCall engine_call();
    void join_conditioning();

    Denoisings denoisings_;
    std::vector<std::size_t> starts_;                  // of each, its first row
    std::vector<std::optional<std::size_t>> written_;  // of each, for which of its calls its input is there
    std::int64_t rows_ = 0;
    std::size_t row_size_ = 0;  // floats
    std::int64_t embedding_width_ = 0;
    std::vector<float> sample_;
    std::vector<float> time_embedding_;
    std::vector<float> output_;
    std::shared_ptr<const Conditioning> conditioning_;
};

}  // namespace aptp
