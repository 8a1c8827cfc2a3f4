// Every model of an opened bundle: encoders and router at once, experts and decoder when asked for.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bundle/reader.hpp"
#include "diffusion/schedule.hpp"
#include "engines/engine.hpp"
#include "engines/shape_bucket.hpp"
#include "log.hpp"
#include "models/cache.hpp"
#include "models/router_output.hpp"
#include "request/params.hpp"

namespace aptp {

inline constexpr const char* DECODER = "decoder";  // the model of a decoder's bucket

// How a bundle is opened; nothing means the default.
struct ModelsOptions {
    // What runs the UNet: `cpu`, `cuda`, `tensorrt-ep`, and where they were built in `openvino`, `aoti`, `supernet`,
    // `tensorrt`; or `auto` for the best that can be had here.
    std::string engine = "auto";
    // What it computes in, `float32`, `bfloat16` or `int8`; by default the least that each expert has earned on this
    // engine and class of processor.
    std::optional<std::string> precision;
    // Where derived files go.
    CacheOptions cache;
    // How many requests may share a UNet call: by default 8 if the largest expert takes fewer than 10^9 MACs, else 1.
    std::optional<std::int64_t> batch;
    // Threads of one call; by default one for each core that this process may use, within its quota.
    std::optional<std::int64_t> threads;
    // The shared library of a provider plugin of ONNX Runtime, which `cuda` and `tensorrt-ep` may have.
    std::optional<std::string> provider;
    // Which GPU `cuda` and `tensorrt-ep` run on, from 0.
    std::int64_t device = 0;
    // Hears how engines were chosen, and what ONNX Runtime says; empty: that goes to standard error.
    Log log;
};

// The operations that a service needs of a bundle; a test's stand-in implements them without ONNX Runtime. Any thread
// may call anything; engines and decoders that were opened belong to one thread at a time, and do not outlive this.
class Models {
public:
    virtual ~Models() = default;

    virtual const Manifest& manifest() const = 0;

    // Which version of the bundle this is: its manifest's SHA-256.
    virtual const std::string& digest() const = 0;

    // What runs the UNet; never `auto`.
    virtual const std::string& engine() const = 0;

    // The names of all engines; never `auto`.
    virtual std::vector<std::string> engines() const = 0;

    // Why one of them cannot serve the bundle here, or nothing if it can.
    virtual std::optional<std::string> missing(const std::string& engine) const = 0;

    // How many requests may share a call.
    virtual std::int64_t batch() const = 0;

    // Check every file of the bundle. Throws Failure (integrity).
    virtual void verify() = 0;

    // The UNet's conditioning for a prompt, each [1, L, E]. The last 64 prompts are remembered. Throws Failure (usage,
    // engine), as all that read prompts.
    virtual Conditioning condition(const std::string& prompt) = 0;

    // The code that a prompt goes to.
    virtual RouterOutput route(const std::string& prompt) = 0;

    // How many tokens of a prompt do not fit: the most of any encoder that conditions the UNet, and of the router's own
    // if the prompt is `routed`.
    virtual std::int64_t dropped_tokens(const std::string& prompt, bool routed) = 0;

    // Let the encoders read every prompt anew from now on.
    virtual void forget_prompts() = 0;

    // The rows of a request's schedule. Throws Failure (usage) where its solver does not offer them.
    virtual std::shared_ptr<const SolverSteps> solver_steps(const ResolvedParams& params) = 0;

    // The time embeddings of these steps, [rows of the schedule, E], by an expert's clock. Throws Failure (integrity,
    // cache, engine).
    virtual std::shared_ptr<const Tensor> time_embeddings(const std::string& expert,
                                                          const std::shared_ptr<const SolverSteps>& steps) = 0;

    // What serves an expert: experts of one engine share its calls.
    virtual std::string engine_of(const std::string& expert) const = 0;

    // What a call for the expert gets besides its prompt: for the supernet its `gates` [1, G].
    virtual Conditioning own_conditioning(const std::string& expert) const = 0;

    // What the engine for calls of `rows` rows a request is specialised to; sides are latents. Throws Failure (usage).
    virtual ShapeBucket bucket(const std::string& expert, std::int64_t rows, std::int64_t height,
                               std::int64_t width) const = 0;

    // What the decoder is specialised to: one image a call.
    virtual ShapeBucket decoder_bucket(std::int64_t height, std::int64_t width) const = 0;

    // The engine for an expert's bucket. Throws Failure (integrity, cache, environment, engine).
    virtual std::unique_ptr<Engine> open_engine(const ShapeBucket& bucket) = 0;

    // The decoder, in float32. Throws Failure (integrity, cache, engine).
    virtual std::unique_ptr<Decoder> open_decoder(const ShapeBucket& bucket) = 0;

    // Bytes that the weights of an engine are expected to hold.
    virtual std::int64_t cost(const ShapeBucket& bucket) const = 0;

    // The bytes for engines: `memory`, or half of what this process may use. Throws Failure (usage) for too few.
    virtual std::int64_t budget(std::optional<std::int64_t> memory) const = 0;
};

// Open the bundle at a path. Throws Failure (usage, not_a_bundle, manifest, integrity, environment, cache, engine).
std::shared_ptr<Models> open_models(const std::string& bundle, const ModelsOptions& options = {});

}  // namespace aptp
