// One image on its way: what was asked, what was found out about it, and the engines that it needs.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "models/models.hpp"
#include "request/options.hpp"
#include "request/params.hpp"
#include "service/denoising.hpp"
#include "service/engine_keys.hpp"
#include "service/work.hpp"

namespace aptp {

// The life of a request: checked, prepared, one call after another, decoded. Its listener hears of all that becomes of
// it.
class Request final : public Work {
public:
    // Check all that is asked against the models' bundle, before anything is spent on it. Throws Failure (usage,
    // code_unavailable, manifest, integrity).
    Request(std::shared_ptr<Models> models, std::string prompt, const GenerationParams& params,
            const RequestOptions& options, Listener listener);

    const std::shared_ptr<Models>& models() const noexcept { return models_; }
    const std::string& prompt() const noexcept { return prompt_; }
    const ResolvedParams& params() const noexcept { return params_; }
    const std::shared_ptr<const SolverSteps>& steps() const noexcept { return steps_; }

    // Make it ready for its first call; `seconds` were spent on it so far. `dropped`: tokens of the prompt, and of the
    // negative one. Throws Failure (usage) for a size that the expert's engine lacks.
    void begin(RoutingDecision choice, std::shared_ptr<Denoising> denoising,
               std::pair<std::int64_t, std::int64_t> dropped, double seconds, EngineKeys& keys);

    // What `begin` brought; not before it.
    const RoutingDecision& choice() const { return choice_; }
    const std::shared_ptr<Denoising>& denoising() const { return denoising_; }

    // How many rows of its schedule are walked, as far as it was told. Any thread may ask.
    std::size_t done() const noexcept { return done_; }

    // Take the decoder's output, [3, H, W], which took so many seconds. Throws Failure (engine).
    void decoded(const std::vector<float>& image, double seconds);

    Key need() const override { return denoising_->ended() ? decoder_ : expert_; }
    std::optional<Key> upcoming() const override;
    bool ended() const override { return image_ != nullptr; }
    Event started() override { return Started{choice_}; }
    std::optional<Event> step() override;
    Event finished() override { return Finished{image_}; }
    void hear(const Event& event) override { listener_(event); }

private:
    std::shared_ptr<Models> models_;
    RequestOptions options_;
    ResolvedParams params_;
    std::string prompt_;
    std::shared_ptr<const SolverSteps> steps_;
    Listener listener_;
    RoutingDecision choice_;
    std::shared_ptr<Denoising> denoising_;
    std::pair<std::int64_t, std::int64_t> dropped_;
    double seconds_ = 0;
    std::atomic<std::size_t> done_ = 0;
    Key expert_ = 0;                  // the engines: of every row of the schedule,
    Key decoder_ = 0;                 // and what follows
    std::vector<std::size_t> shown_;  // after how many rows there is a preview
    std::shared_ptr<const Generated> image_;
};

// What the tickets of a runtime core stand for: all of its work is requests.
inline const Request& request_of(const Ticket& ticket) { return static_cast<const Request&>(*ticket.task); }

}  // namespace aptp
