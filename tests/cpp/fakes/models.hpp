// A bundle without files, graphs or ONNX Runtime: experts are formulas of their inputs, and do as a test says.
#pragma once

#include <cmath>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "errors.hpp"
#include "models/models.hpp"

namespace fakes {

inline constexpr std::int64_t CHANNELS = 4;
inline constexpr std::int64_t SIDE = 8;  // of latents, by default
inline constexpr std::int64_t SCALE = 2;
inline constexpr std::int64_t STEPS = 5;
inline constexpr std::int64_t EMBEDDING = 2;   // of a time embedding: the timestep, and what nobody reads
inline constexpr std::size_t TOO_LONG = 8000;  // prompts from here on give what is not finite

// What happens at an opening ("open 0", "open decoder"), a call ("call 0"), a decoding ("decode"), the reading of a
// prompt ("read …") or of a clock ("clock 0"): it may wait or throw.
using Play = std::function<void(const std::string& what)>;

// Each value of a row, from that row alone.
class FakeEngine final : public aptp::Engine {
public:
    FakeEngine(float expert, std::string name, Play play)
        : expert_(expert), name_(std::move(name)), play_(std::move(play)) {}

    void run(const aptp::EngineCall& call) override {
        play_("call " + name_);
        const std::int64_t size = call.channels * call.height * call.width;
        const aptp::Tensor& prompts = *call.conditioning->at("encoder_hidden_states");
        for (std::int64_t row = 0; row < call.rows; ++row) {
            const float prompt = prompts.values[static_cast<std::size_t>(row)];
            const float added =
                0.1F * prompt + 0.001F * call.time_embedding[row * call.embedding_width] + 0.01F * expert_;
            for (std::int64_t index = row * size; index < (row + 1) * size; ++index) {
                call.output[index] = 0.5F * call.sample[index] + added;
            }
        }
    }

private:
    const float expert_;
    const std::string name_;
    const Play play_;
};

// Every latent as SCALE x SCALE pixels, its first three channels their colours.
class FakeDecoder final : public aptp::Decoder {
public:
    explicit FakeDecoder(Play play) : play_(std::move(play)) {}

    std::vector<float> decode(const float* latents, std::int64_t height, std::int64_t width) override {
        play_("decode");
        std::vector<float> image;
        for (std::int64_t channel = 0; channel < 3; ++channel) {
            for (std::int64_t y = 0; y < height * SCALE; ++y) {
                for (std::int64_t x = 0; x < width * SCALE; ++x) {
                    image.push_back(latents[(channel * height + y / SCALE) * width + x / SCALE]);
                }
            }
        }
        return image;
    }

private:
    const Play play_;
};

// Experts 0, 1 and dense of 4 codes. A prompt goes to the code that its length says; 2 and 3 fall back to dense.
class FakeModels final : public aptp::Models {
public:
    explicit FakeModels(
        std::int64_t batch = 4, Play play = [](const std::string&) {})
        : batch_(batch), play_(std::move(play)) {
        manifest_.version = "3.0";
        manifest_.defaults = {"fake", STEPS, 3.0};
        manifest_.latent = {CHANNELS, SIDE, SIDE, 4, 4, 64};
        manifest_.router.codes = 4;
        manifest_.router.fallback = aptp::DENSE;
        manifest_.decoder.scale = SCALE;
        manifest_.decoder.scaling_factor = 1;
        const std::vector<double> colour{0.2, 0.1, 0.1, 0.0, 0.0};
        manifest_.decoder.preview = std::vector<std::vector<double>>(3, colour);
        for (const char* name : {"0", "1", "dense"}) manifest_.experts[name].macs = 1000;
        aptp::ScheduleEntry& schedule = manifest_.schedules["fake"];
        schedule.window = 1;
        schedule.rows = {0, 2, 3, 4, 5, 6, 7, 8, 9, 10};
    }

    const aptp::Manifest& manifest() const override { return manifest_; }
    const std::string& digest() const override { return digest_; }
    const std::string& engine() const override { return engine_; }
    std::vector<std::string> engines() const override { return {engine_, "other"}; }
    std::optional<std::string> missing(const std::string& engine) const override {
        return engine == engine_ ? std::nullopt : std::optional<std::string>("it is not here");
    }
    std::int64_t batch() const override { return batch_; }
    void verify() override { play_("verify"); }

    aptp::Conditioning condition(const std::string& prompt) override {
        play_("read " + prompt);
        auto tensor = std::make_shared<aptp::Tensor>();
        tensor->shape = {1, 1, 1};
        tensor->values = {prompt.size() < TOO_LONG ? static_cast<float>(prompt.size()) / 16 : INFINITY};
        return {{"encoder_hidden_states", tensor}};
    }

    aptp::RouterOutput route(const std::string& prompt) override {
        return {static_cast<std::int64_t>(prompt.size() % 4), 0.25, std::nullopt};
    }

    std::int64_t dropped_tokens(const std::string& prompt, bool routed) override {
        return (prompt.size() > 20 ? 3 : 0) + (routed ? 0 : 1);
    }

    void forget_prompts() override {}

    std::shared_ptr<const aptp::SolverSteps> solver_steps(const aptp::ResolvedParams& params) override {
        const auto& rows = manifest_.schedules.at(params.solver).rows;
        const std::int64_t count = params.steps;
        if (count < 1 || count > static_cast<std::int64_t>(rows.size()) ||
            rows[static_cast<std::size_t>(count - 1)] == 0) {
            throw aptp::Failure(aptp::Status::usage, "steps " + std::to_string(count) + ": the solver offers 2 to 10");
        }
        auto steps = std::make_shared<aptp::SolverSteps>();
        for (std::int64_t step = count; step > 0; --step) {
            steps->rows.push_back({static_cast<float>(step), 0.5F, {{0, 0.75F}}, {{0, 0.25F}}, 0.5F, 0.5F});
        }
        return steps;
    }

    std::shared_ptr<const aptp::Tensor> time_embeddings(
        const std::string& expert, const std::shared_ptr<const aptp::SolverSteps>& steps) override {
        play_("clock " + expert);
        auto tensor = std::make_shared<aptp::Tensor>();
        tensor->shape = {static_cast<std::int64_t>(steps->rows.size()), EMBEDDING};
        for (const aptp::Row& row : steps->rows) tensor->values.insert(tensor->values.end(), {row.timestep, INFINITY});
        return tensor;
    }

    std::string engine_of(const std::string& expert) const override { return expert; }
    aptp::Conditioning own_conditioning(const std::string&) const override { return {}; }

    aptp::ShapeBucket bucket(const std::string& expert, std::int64_t rows, std::int64_t height,
                             std::int64_t width) const override {
        return {expert, batch_ == 1 ? rows : 0, height, width};
    }

    aptp::ShapeBucket decoder_bucket(std::int64_t height, std::int64_t width) const override {
        return {aptp::DECODER, 1, height, width};
    }

    std::unique_ptr<aptp::Engine> open_engine(const aptp::ShapeBucket& bucket) override {
        play_("open " + bucket.model);
        const float expert = bucket.model == aptp::DENSE ? 9.0F : std::stof(bucket.model);
        return std::make_unique<FakeEngine>(expert, bucket.model, play_);
    }

    std::unique_ptr<aptp::Decoder> open_decoder(const aptp::ShapeBucket&) override {
        play_("open decoder");
        return std::make_unique<FakeDecoder>(play_);
    }

    std::int64_t cost(const aptp::ShapeBucket&) const override { return 10; }
    std::int64_t budget(std::optional<std::int64_t> memory) const override { return memory.value_or(1000); }

private:
    const std::int64_t batch_;
    const Play play_;
    aptp::Manifest manifest_;
    const std::string digest_ = "fake";
    const std::string engine_ = "fake";
};

}  // namespace fakes
