#include "request/params.hpp"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "errors.hpp"
#include "numbers.hpp"
#include "request/defaults.hpp"
#include "text/prompt.hpp"

namespace aptp {
namespace {

constexpr std::int64_t FARTHEST = 1'000'000;  // of latents; a bundle's maximum is 4,096

Failure refusal(const std::string& message) { return {Status::usage, message}; }

std::string shown(const std::array<std::int64_t, 3>& shape) {
    return "(" + std::to_string(shape[0]) + ", " + std::to_string(shape[1]) + ", " + std::to_string(shape[2]) + ")";
}

template <typename Value>
std::vector<std::string> names_of(const Table<Value>& table) {
    std::vector<std::string> names;
    for (const auto& [name, value] : table) names.push_back(name);
    return names;
}

std::string joined(const std::vector<std::string>& names) {
    std::string text;
    for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
    return text;
}

std::string check_solver(const Manifest& manifest, const std::string& solver) {
    if (manifest.schedules.find(solver) == manifest.schedules.end()) {
        const std::vector<std::string> known = names_of(manifest.schedules);
        throw refusal("solver " + repr(solver) + ": this bundle has " + joined(known) + nearest(solver, known));
    }
    return solver;
}

// Guidance that is off is 1 from here on.
double check_guidance(double guidance) {
    if (!(guidance >= 0 && guidance <= GUIDANCE)) {
        throw refusal("guidance " + in_digits(guidance) + ": give a number from 0 to " + in_digits(GUIDANCE) +
                      "; 1 or less switches guidance off");
    }
    return std::max(guidance, 1.0);
}

std::int64_t check_side(std::int64_t side, const char* name, const Latent& latent, std::int64_t scale) {
    const std::int64_t low = latent.minimum * scale, high = latent.maximum * scale, multiple = latent.multiple * scale;
    if (side % multiple != 0 || side < low || side > high) {
        throw refusal(std::string(name) + " " + std::to_string(side) + ": give a multiple of " +
                      std::to_string(multiple) + " from " + std::to_string(low) + " to " + std::to_string(high) +
                      " pixels");
    }
    return side;
}

// The expert that a caller asks for.
std::string expert_of_code(const Manifest& manifest, const std::string& code) {
    if (code == DENSE) return check_expert(manifest, code);
    const bool is_negative = !code.empty() && code.front() == '-';
    const std::optional<std::int64_t> number = is_negative ? std::nullopt : read_integer(code);
    if (!number || *number >= manifest.router.codes) {
        throw refusal("code " + (number ? std::to_string(*number) : repr(code)) + ": give an integer from 0 to " +
                      std::to_string(manifest.router.codes - 1) + ", or " + repr(DENSE));
    }
    return check_expert(manifest, std::to_string(*number));
}

// The pixels of a side of start latents; one that no bundle takes must not overflow.
std::int64_t pixels(std::int64_t side, std::int64_t scale) {
    return std::clamp<std::int64_t>(side, -1, FARTHEST) * scale;
}

}  // namespace

GenerationParams GenerationParams::of(const aptp_request_options& asked) {
    GenerationParams params;
    params.negative_prompt = or_default(asked.negative_prompt).value_or("");
    params.solver = or_default(asked.solver);
    params.code = or_default(asked.code);
    params.seed = asked.seed;
    params.steps = or_default(asked.steps);
    params.height = or_default(asked.height);
    params.width = or_default(asked.width);
    params.guidance = or_unset(asked.guidance);
    if (asked.latents != nullptr) {
        params.latents =
            StartLatents{{asked.latents_channels, asked.latents_height, asked.latents_width}, asked.latents};
    }
    return params;
}

nlohmann::ordered_json ResolvedParams::recorded() const {
    return {
        {"seed", seed ? nlohmann::ordered_json(*seed) : nlohmann::ordered_json(nullptr)},
        {"solver", solver},
        {"steps", steps},
        {"guidance", guidance},
        {"height", height},
        {"width", width},
        {"negative_prompt", negative_prompt},
    };
}

ResolvedParams GenerationParams::resolve(const Manifest& manifest) const {
    const Defaults& defaults = manifest.defaults;
    const Latent& latent = manifest.latent;
    const std::int64_t scale = manifest.decoder.scale;
    const bool is_sized_by_latents = latents && !height && !width;
    const auto side = [&](const std::optional<std::int64_t>& asked, std::int64_t usual, std::size_t axis) {
        return is_sized_by_latents ? pixels(latents->shape[axis], scale) : asked.value_or(usual * scale);
    };
    ResolvedParams found;
    found.negative_prompt = check_prompt(negative_prompt);
    found.solver = check_solver(manifest, solver.value_or(defaults.solver));
    found.steps = steps.value_or(defaults.steps);
    found.guidance = check_guidance(guidance.value_or(defaults.guidance));
    found.height = check_side(side(height, latent.height, 1), "height", latent, scale);
    found.width = check_side(side(width, latent.width, 2), "width", latent, scale);
    found.shape = {latent.channels, found.height / scale, found.width / scale};
    if (latents) {
        check_latents(*latents, found.shape);
        found.latents.assign(latents->values, latents->values + found.shape[0] * found.shape[1] * found.shape[2]);
    } else {
        found.seed = seed;
    }
    if (code) found.expert = expert_of_code(manifest, *code);
    return found;
}

const std::string& check_expert(const Manifest& manifest, const std::string& name, const std::string& more) {
    if (manifest.experts.find(name) == manifest.experts.end()) {
        throw Failure(Status::code_unavailable,
                      "the bundle has no expert for code " + repr(name) + more + "; it holds " +
                          joined(names_of(manifest.experts)) + ". Build it with `python -m export.build --codes " +
                          (name == DENSE ? "all,dense" : "all") + "`, or ask for one that is there");
    }
    return name;
}

void check_latents(const StartLatents& latents, const std::array<std::int64_t, 3>& shape) {
    if (latents.shape != shape) {
        throw refusal("latents of shape " + shown(latents.shape) + ": give " + shown(shape) + ", or another size");
    }
    const std::int64_t size = shape[0] * shape[1] * shape[2];
    if (!std::all_of(latents.values, latents.values + size, [](float value) { return std::isfinite(value); })) {
        throw refusal("latents: hold a value that is not finite");
    }
}

}  // namespace aptp
