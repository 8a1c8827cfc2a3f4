#include "service/order.hpp"

#include <algorithm>

#include "errors.hpp"
#include "text/tokenizer.hpp"

namespace aptp {

namespace {

constexpr std::int64_t FARTHEST = 1'000'000;  // of latents; a bundle's maximum is 4,096

// What is asked, with the size of the start latents where there are some and no other is asked.
Asked with_size(const Models& models, const Wanted& wanted) {
    Asked asked = wanted.settings;
    if (wanted.latents && !asked.height && !asked.width) {
        const auto pixels = [&](std::int64_t side) {  // sides that no bundle takes must not overflow
            return std::clamp<std::int64_t>(side, -1, FARTHEST) * models.manifest().decoder.scale;
        };
        asked.height = pixels(wanted.latents->shape[1]);
        asked.width = pixels(wanted.latents->shape[2]);
    }
    return asked;
}

// The expert that a caller asks for.
std::string expert_of(const Manifest& manifest, const std::string& code) {
    if (code == DENSE) return check_expert(manifest, code);
    const bool is_number = !code.empty() && code.size() <= 18 &&
                           std::all_of(code.begin(), code.end(), [](char each) { return '0' <= each && each <= '9'; });
    if (!is_number) {
        throw Failure(Status::usage, "code " + repr(code) + ": give an integer from 0 to " +
                                         std::to_string(manifest.router.codes - 1) + ", or '" + DENSE + "'");
    }
    return expert_of_code(manifest, std::stoll(code));
}

}  // namespace

void check_wish(const Wish& wish) {
    check_priority(wish.priority);
    if (wish.seconds) check_deadline(*wish.seconds);
    check_previews(wish.previews);
}

Order take(Models& models, const std::string& prompt, const Wanted& wanted) {
    const Manifest& manifest = models.manifest();
    check_prompt(wanted.settings.negative_prompt);
    Order order;
    order.settings = resolve(manifest, with_size(models, wanted));
    order.shape = latents_shape(manifest, order.settings);
    if (wanted.latents) {
        check_latents(wanted.latents->values, wanted.latents->shape, order.shape);
        const auto [channels, height, width] = order.shape;
        order.latents.assign(wanted.latents->values, wanted.latents->values + channels * height * width);
    } else {
        order.seed = wanted.seed;
    }
    order.prompt = check_prompt(prompt);
    order.course = models.course(order.settings.solver, order.settings.steps);
    if (wanted.code) order.expert = expert_of(manifest, *wanted.code);
    return order;
}

}  // namespace aptp
