#include "service/job.hpp"

#include <algorithm>
#include <map>
#include <utility>

#include "diffusion/pixels.hpp"

namespace aptp {

Job::Job(Order order, std::shared_ptr<Models> models, Listener listener, const Wish& wish)
    : order_(std::move(order)), models_(std::move(models)), listener_(std::move(listener)), wish_(wish) {}

void Job::begin(Choice choice, std::shared_ptr<Request> request, std::pair<std::int64_t, std::int64_t> dropped,
                double seconds, Places& places) {
    const auto [channels, height, width] = order_.shape;
    std::map<std::string, Key> of_expert;
    for (const std::string& name : request->plan()) {
        if (of_expert.count(name)) continue;
        of_expert[name] = places.key(models_, models_->bucket(name, request->rows(), height, width));
    }
    for (const std::string& name : request->plan()) places_.push_back(of_expert[name]);
    places_.push_back(places.key(models_, models_->decoder_bucket(height, width)));
    shown_ = preview_moments(static_cast<std::size_t>(wish_.previews), request->plan().size());
    choice_ = std::move(choice);
    request_ = std::move(request);
    dropped_ = dropped;
    seconds_ = seconds;
}

void Job::decoded(const std::vector<float>& image, double seconds) {
    const auto& settings = order_.settings;
    auto made = std::make_shared<Generated>();
    made->pixels =
        to_pixels(image.data(), static_cast<std::size_t>(settings.height), static_cast<std::size_t>(settings.width));
    made->prompt = order_.prompt;
    made->choice = choice_;
    made->seed = order_.seed;
    made->settings = settings;
    std::tie(made->dropped_tokens, made->negative_dropped_tokens) = dropped_;
    made->milliseconds = 1000 * (seconds_ + request_->seconds + seconds);
    made->blank = is_blank(made->pixels);
    image_ = made;
}

std::optional<Key> Job::upcoming() const {
    const auto here = places_.begin() + static_cast<std::ptrdiff_t>(position());
    const auto other = std::find_if(here, places_.end(), [&](Key key) { return key != *here; });
    return other == places_.end() ? std::nullopt : std::optional(*other);
}

void Job::on_queued(std::size_t ahead) { listener_(Queued{ahead}); }

void Job::on_started() { listener_(Started{choice_}); }

void Job::on_step() {
    done_ = position();
    if (!wish_.steps) return;
    const Trajectory& trajectory = request_->trajectory();
    Step step;
    step.done = trajectory.position();
    step.total = trajectory.course().rows.size();
    step.timestep = trajectory.course().rows[step.done - 1].timestep;
    step.shape = order_.shape;
    if (std::binary_search(shown_.begin(), shown_.end(), step.done)) {
        const auto& decoder = models_->manifest().decoder;
        step.preview = preview(trajectory, decoder, static_cast<std::size_t>(order_.shape[1]),
                               static_cast<std::size_t>(order_.shape[2]));
    }
    if (wish_.latents) step.latents.emplace(trajectory.latents(), trajectory.latents() + trajectory.size());
    listener_(step);
}

void Job::on_finished() { listener_(Finished{image_}); }

void Job::on_failed(const Failed& why) { listener_(why); }

}  // namespace aptp
