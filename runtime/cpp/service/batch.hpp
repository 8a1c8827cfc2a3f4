// A UNet call that several requests share: arrays made once, for as long as the same ones stay together.
#pragma once

#include <memory>
#include <vector>

#include "engines/engine.hpp"
#include "service/request.hpp"

namespace aptp {

// A group of requests and the arrays of its UNet calls: while it stays, only latents are rewritten.
class Batch {
public:
    // The requests need the same engine, and have latents of one shape; they must outlive this, or never be run again.
    explicit Batch(std::vector<Request*> requests);

    const std::vector<Request*>& requests() const noexcept { return requests_; }
    std::int64_t rows() const noexcept { return rows_; }

    // One UNet call, and the step after it for every request. Throws Failure (engine).
    void run(Engine& engine);

private:
    void write_input(std::size_t index);

    std::vector<Request*> requests_;
    std::vector<std::size_t> positions_;  // of each, when its input was written
    std::int64_t rows_ = 0;
    std::size_t row_size_ = 0;  // floats
    std::vector<float> sample_;
    std::vector<float> timestep_;
    std::vector<float> output_;
    std::shared_ptr<const Conditioning> conditioning_;
};

}  // namespace aptp
