#include "service/request.hpp"

#include <algorithm>
#include <tuple>
#include <utility>

#include "diffusion/pixels.hpp"
#include "text/prompt.hpp"

namespace aptp {

namespace {

const RequestOptions& checked(const RequestOptions& options) {
    options.check();
    return options;
}

}  // namespace

Request::Request(std::shared_ptr<Models> models, std::string prompt, const GenerationParams& params,
                 const RequestOptions& options, Listener listener)
    : models_(std::move(models)),
      options_(checked(options)),
      params_(params.resolve(models_->manifest())),
      prompt_(std::move(prompt)),
      listener_(std::move(listener)) {
    check_prompt(prompt_);
    steps_ = models_->solver_steps(params_);
}

void Request::begin(RoutingDecision choice, std::shared_ptr<Denoising> denoising,
                    std::pair<std::int64_t, std::int64_t> dropped, double seconds, EngineKeys& keys) {
    const auto [channels, height, width] = params_.shape;
    expert_ = keys.key(models_, models_->bucket(choice.expert, denoising->rows(), height, width));
    decoder_ = keys.key(models_, models_->decoder_bucket(height, width));
    shown_ = preview_moments(static_cast<std::size_t>(options_.previews), steps_->rows.size());
    choice_ = std::move(choice);
    denoising_ = std::move(denoising);
    dropped_ = dropped;
    seconds_ = seconds;
}

void Request::decoded(const std::vector<float>& image, double seconds) {
    auto made = std::make_shared<Generated>();
    made->pixels =
        to_pixels(image.data(), static_cast<std::size_t>(params_.height), static_cast<std::size_t>(params_.width));
    made->prompt = prompt_;
    made->choice = choice_;
    made->params = params_;
    std::tie(made->dropped_tokens, made->negative_dropped_tokens) = dropped_;
    made->milliseconds = 1000 * (seconds_ + denoising_->seconds + seconds);
    made->blank = is_blank(made->pixels);
    image_ = made;
}

std::optional<Key> Request::upcoming() const { return denoising_->ended() ? std::nullopt : std::optional(decoder_); }

std::optional<Event> Request::step() {
    const Trajectory& trajectory = denoising_->trajectory();
    done_ = trajectory.position();
    if (!options_.tells_steps()) return std::nullopt;
    Step step;
    step.done = trajectory.position();
    step.total = steps_->rows.size();
    step.timestep = steps_->rows[step.done - 1].timestep;
    step.shape = params_.shape;
    if (std::binary_search(shown_.begin(), shown_.end(), step.done)) {
        step.preview = preview(trajectory, models_->manifest().decoder, static_cast<std::size_t>(step.shape[1]),
                               static_cast<std::size_t>(step.shape[2]));
    }
    if (options_.latents) step.latents.emplace(trajectory.latents(), trajectory.latents() + trajectory.size());
    return step;
}

}  // namespace aptp
