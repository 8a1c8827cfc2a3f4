#include "models/models.hpp"

#include <algorithm>
#include <map>
#include <mutex>
#include <set>

#include "engines/choice.hpp"
#include "engines/graphs.hpp"
#include "engines/precision.hpp"
#include "errors.hpp"
#include "machine/memory.hpp"
#include "models/clock.hpp"
#include "models/decoder.hpp"
#include "models/encoder.hpp"
#include "models/experts.hpp"
#include "models/router.hpp"
#include "models/sessions.hpp"
#include "request/limits.hpp"

namespace aptp {

namespace {

// Below so many multiply-accumulates of one row, calls are shared by so many requests where nobody says otherwise.
constexpr std::int64_t SMALL = 1'000'000'000;
constexpr std::int64_t TOGETHER = 8;

std::int64_t default_batch(const Manifest& manifest) {
    std::int64_t most = 0;
    for (const auto& [name, expert] : manifest.experts) most = std::max(most, expert.macs);
    return most < SMALL ? TOGETHER : 1;
}

Place place_of(const ModelsOptions& options) { return {options.provider.value_or(""), options.device}; }

// The engine that was asked for, once the precision is known to go with it. The first decides how threads are shared.
std::string chosen_engine(const Manifest& manifest, const ModelsOptions& options) {
    std::string engine = choose(options.engine, manifest, place_of(options), options.log);
    check_precision(options.precision, engine, manifest, options.log);
    share_threads(options.threads, engine == "cpu");
    return engine;
}

class OpenedModels : public Models {
public:
    OpenedModels(std::shared_ptr<const Bundle> bundle, const ModelsOptions& options)
        : bundle_(std::move(bundle)),
          engine_(chosen_engine(bundle_->manifest(), options)),
          place_(place_of(options)),
          sessions_(bundle_, options.cache, options.threads, options.log),
          experts_(bundle_->manifest(), sessions_, engine_, place_, options.precision),
          clock_(bundle_->manifest().experts, sessions_) {
        std::set<std::string> names{manifest().router.encoder};
        for (const ConditioningEntry& entry : manifest().conditioning) names.insert(entry.encoder);
        for (const std::string& name : names) {
            encoders_[name] = std::make_unique<Encoder>(*bundle_, manifest().encoder(name), sessions_);
        }
        router_ = std::make_unique<Router>(manifest().router, sessions_);
        batch_ = experts_.fitting_batch(options.batch.value_or(default_batch(manifest())));
    }

    const Manifest& manifest() const override { return bundle_->manifest(); }
    const std::string& digest() const override { return bundle_->digest(); }
    const std::string& engine() const override { return engine_; }
    std::int64_t batch() const override { return batch_; }

    std::vector<std::string> engines() const override {
        return {engine_names().begin() + 1, engine_names().end()};  // without `auto`
    }

    std::optional<std::string> missing(const std::string& engine) const override {
        return missing_engine(engine, manifest(), place_);
    }

    void verify() override { bundle_->files().verify(); }

    Conditioning condition(const std::string& prompt) override {
        Conditioning found;
        for (const ConditioningEntry& entry : manifest().conditioning) {
            found[entry.input] = encoded(entry.encoder, prompt)->embedding;
        }
        return found;
    }

    RouterOutput route(const std::string& prompt) override {
        return (*router_)(*encoded(manifest().router.encoder, prompt));
    }

    std::int64_t dropped_tokens(const std::string& prompt, bool routed) override {
        std::int64_t most = routed ? encoded(manifest().router.encoder, prompt)->dropped : 0;
        for (const ConditioningEntry& entry : manifest().conditioning) {
            most = std::max(most, encoded(entry.encoder, prompt)->dropped);
        }
        return most;
    }

    void forget_prompts() override {
        for (auto& [name, encoder] : encoders_) encoder->forget();
    }

    std::shared_ptr<const SolverSteps> solver_steps(const ResolvedParams& params) override {
        const std::lock_guard lock(mutex_);
        auto& table = solvers_[params.solver];
        if (table == nullptr) table = Solver::load(*bundle_, params.solver);
        return table->steps(params);
    }

    std::shared_ptr<const Tensor> time_embeddings(const std::string& expert,
                                                  const std::shared_ptr<const SolverSteps>& steps) override {
        return clock_(expert, *steps);
    }

    std::string engine_of(const std::string& expert) const override { return experts_.engine_of(expert); }

    Conditioning own_conditioning(const std::string& expert) const override { return experts_.conditioning(expert); }

    ShapeBucket bucket(const std::string& expert, std::int64_t rows, std::int64_t height,
                       std::int64_t width) const override {
        experts_.check(expert, rows, height, width);
        // An engine per group size would hold the weights once more each: with batching, one serves all.
        return experts_.key(expert, batch_ == 1 ? rows : 0, height, width);
    }

    ShapeBucket decoder_bucket(std::int64_t height, std::int64_t width) const override {
        return {DECODER, 1, height, width};
    }

    std::unique_ptr<Engine> open_engine(const ShapeBucket& bucket) override { return experts_.open(bucket); }

    std::unique_ptr<Decoder> open_decoder(const ShapeBucket& bucket) override {
        GraphSettings settings;
        settings.engine = beside(engine_, place_);
        settings.place = place_;
        settings.overrides = {{"batch", bucket.rows}, {"height", bucket.height}, {"width", bucket.width}};
        return std::make_unique<GraphDecoder>(manifest().decoder, manifest().latent.channels,
                                              sessions_.open_graph(manifest().decoder.model, settings));
    }

    std::int64_t cost(const ShapeBucket& bucket) const override {
        if (bucket.model != DECODER) return experts_.cost(bucket);
        return memory_of(manifest().decoder.model, manifest().files, beside(engine_, place_), "float32");
    }

    std::int64_t budget(std::optional<std::int64_t> memory) const override {
        if (memory) check_limit(*memory, "memory");
        const std::int64_t budget = memory.value_or(half_of_memory());
        ShapeBucket largest = decoder_bucket(1, 1);
        for (const auto& [name, expert] : manifest().experts) {
            const ShapeBucket each = experts_.key(name, 1, 1, 1);
            if (cost(each) > cost(largest)) largest = each;
        }
        if (cost(largest) > budget) {
            throw Failure(Status::usage, "memory " + std::to_string(budget) + ": the weights of '" + largest.model +
                                             "' alone hold " + std::to_string(cost(largest)) +
                                             " bytes; give at least as many");
        }
        return budget;
    }

private:
    std::shared_ptr<const Encoding> encoded(const std::string& encoder, const std::string& prompt) {
        return (*encoders_.find(encoder)->second)(prompt);
    }

    std::shared_ptr<const Bundle> bundle_;
    std::string engine_;
    Place place_;
    Sessions sessions_;
    Experts experts_;
    Clock clock_;
    std::map<std::string, std::unique_ptr<Encoder>> encoders_;
    std::unique_ptr<Router> router_;
    std::int64_t batch_ = 1;
    std::mutex mutex_;  // over solvers_
    std::map<std::string, std::shared_ptr<const Solver>> solvers_;
};

}  // namespace

std::shared_ptr<Models> open_models(const std::string& bundle, const ModelsOptions& options) {
    if (options.batch) check_limit(*options.batch, "batch");
    if (options.threads) check_threads(*options.threads);
    if (options.device < 0) {
        throw Failure(Status::usage, "device " + std::to_string(options.device) + ": give an integer of at least 0");
    }
    return std::make_shared<OpenedModels>(Bundle::open(bundle), options);
}

}  // namespace aptp
