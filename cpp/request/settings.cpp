#include "request/settings.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "errors.hpp"

namespace aptp {
namespace {

Failure refusal(const std::string& message) { return {Status::usage, message}; }

std::string shown(double value) {
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), "%g", value);
    return text.data();
}

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

std::int64_t check_side(std::int64_t side, const char* name, const Latent& latent, std::int64_t scale) {
    const std::int64_t low = latent.minimum * scale, high = latent.maximum * scale, multiple = latent.multiple * scale;
    if (side % multiple != 0 || side < low || side > high) {
        throw refusal(std::string(name) + " " + std::to_string(side) + ": give a multiple of " +
                      std::to_string(multiple) + " from " + std::to_string(low) + " to " + std::to_string(high) +
                      " pixels");
    }
    return side;
}

}  // namespace

Settings resolve(const Manifest& manifest, const Asked& asked) {
    const Defaults& defaults = manifest.defaults;
    Settings settings;
    settings.solver = asked.solver.value_or(defaults.solver);
    if (manifest.schedules.find(settings.solver) == manifest.schedules.end()) {
        const std::vector<std::string> known = names_of(manifest.schedules);
        throw refusal("solver " + repr(settings.solver) + ": this bundle has " + joined(known) +
                      nearest(settings.solver, known));
    }
    settings.guidance = asked.guidance.value_or(defaults.guidance);
    if (!(settings.guidance >= 0 && settings.guidance <= GUIDANCE)) {
        throw refusal("guidance " + shown(settings.guidance) + ": give a number from 0 to " + shown(GUIDANCE) +
                      "; 1 switches guidance off");
    }
    const Latent& latent = manifest.latent;
    const std::int64_t scale = manifest.decoder.scale;
    settings.height = check_side(asked.height.value_or(latent.height * scale), "height", latent, scale);
    settings.width = check_side(asked.width.value_or(latent.width * scale), "width", latent, scale);
    settings.steps = asked.steps.value_or(defaults.steps);
    settings.negative_prompt = asked.negative_prompt;
    return settings;
}

std::string expert_of_code(const Manifest& manifest, std::int64_t code) {
    if (code < 0 || code >= manifest.router.codes) {
        throw refusal("code " + std::to_string(code) + ": give an integer from 0 to " +
                      std::to_string(manifest.router.codes - 1) + ", or " + repr(DENSE));
    }
    return check_expert(manifest, std::to_string(code));
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

std::array<std::int64_t, 3> latents_shape(const Manifest& manifest, const Settings& settings) {
    const std::int64_t scale = manifest.decoder.scale;
    return {manifest.latent.channels, settings.height / scale, settings.width / scale};
}

void check_latents(const float* latents, const std::array<std::int64_t, 3>& given,
                   const std::array<std::int64_t, 3>& shape) {
    if (given != shape) {
        throw refusal("latents of shape " + shown(given) + ": give " + shown(shape) + ", or another size");
    }
    const std::int64_t size = shape[0] * shape[1] * shape[2];
    if (!std::all_of(latents, latents + size, [](float value) { return std::isfinite(value); })) {
        throw refusal("latents: hold a value that is not finite");
    }
}

void check_priority(std::int64_t value) {
    if (value < -1 || value > 1) throw refusal("priority " + std::to_string(value) + ": give -1, 0 or 1");
}

void check_deadline(double seconds) {
    if (!std::isfinite(seconds) || seconds <= 0) {
        throw refusal("deadline " + shown(seconds) + ": give a number of seconds above 0");
    }
}

void check_previews(std::int64_t count) {
    if (count < 0) throw refusal("previews " + std::to_string(count) + ": give an integer of at least 0");
}

void check_limit(std::int64_t value, const std::string& name) {
    if (value < 1) throw refusal(name + " " + std::to_string(value) + ": give an integer of at least 1");
}

}  // namespace aptp
