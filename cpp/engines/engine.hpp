// What the service asks of anything that runs an expert's UNet, and of what decodes.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "engines/tensor.hpp"

namespace aptp {

// One UNet call. Nothing here is owned but `conditioning`; an engine keeps none of the pointers.
struct EngineCall {
    const float* sample = nullptr;          // [rows, channels, height, width]
    const float* time_embedding = nullptr;  // [rows, embedding_width]
    std::int64_t rows = 0;
    std::int64_t embedding_width = 0;
    std::int64_t channels = 0;
    std::int64_t height = 0;  // of latents
    std::int64_t width = 0;
    // Not written to once it was given: what an engine made of it holds while the same pointer comes again, so an
    // engine that keeps something of it has to keep the pointer too.
    std::shared_ptr<const Conditioning> conditioning;
    float* output = nullptr;  // [rows, channels, height, width], written by the engine
};

// Runs one expert, or for a supernet all of them: each row follows its own `gates` [G] of the conditioning. One thread
// at a time.
class Engine {
public:
    virtual ~Engine() = default;

    // Predict `call.output`. Throws Failure (engine).
    virtual void run(const EngineCall& call) = 0;
};

// Latents to images. One thread at a time.
class Decoder {
public:
    virtual ~Decoder() = default;

    // Final latents [C, height, width] to an unbounded image [3, scale * height, scale * width]. Throws Failure
    // (engine).
    virtual std::vector<float> decode(const float* latents, std::int64_t height, std::int64_t width) = 0;
};

}  // namespace aptp
