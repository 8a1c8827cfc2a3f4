// room: diffusion
// Walks trajectories without a UNet: schedules BUNDLE. A JSON object on each line of the input: solver, steps,
// guidance, seed; `row`, to look at what it is after that many rows. The model is a made-up one that any language
// computes alike: its output is a quarter of its input, plus noise whose seed is the row's number. On each line of the
// output the latents, the estimate and the preview in hexadecimal, or {"error": …, "message": …}.
#include <iostream>
#include <nlohmann/json.hpp>

#include "diffusion/noise.hpp"
#include "diffusion/pixels.hpp"
#include "diffusion/trajectory.hpp"
#include "errors.hpp"
#include "hexadecimal.hpp"

namespace {

using nlohmann::json;

// What the made-up model gives in row `row`; `stream` is 0 for the prompt and 1 for the negative one.
std::vector<float> made_up(const std::vector<float>& input, std::size_t row, std::uint32_t stream) {
    std::vector<float> output(input.size());
    aptp::normal(row, output.data(), output.size(), stream);
    for (std::size_t index = 0; index < input.size(); ++index) output[index] += input[index] * 0.25F;
    return output;
}

json walk(const aptp::Bundle& bundle, const json& asked) {
    const auto solver = aptp::Solver::load(bundle, asked["solver"]);
    const auto guidance = static_cast<float>(asked["guidance"].get<double>());
    const aptp::Latent& latent = bundle.manifest().latent;
    const auto height = static_cast<std::size_t>(latent.height), width = static_cast<std::size_t>(latent.width);
    std::vector<float> noise(static_cast<std::size_t>(latent.channels) * height * width);
    aptp::normal(asked["seed"], noise.data(), noise.size());
    aptp::ResolvedParams params;
    params.steps = asked["steps"];
    aptp::Trajectory trajectory(solver->steps(params), noise.data(), noise.size());
    std::vector<float> input(noise.size()), estimate(noise.size());
    json timesteps = json::array();
    while (!trajectory.done() && trajectory.position() < asked["row"]) {
        const std::size_t row = trajectory.position();
        timesteps.push_back(trajectory.row().timestep);
        trajectory.write_input(input.data());
        const std::vector<float> output = made_up(input, row, 0), negative = made_up(input, row, 1);
        trajectory.advance(output.data(), guidance == 1.0F ? nullptr : negative.data(), guidance);
    }
    trajectory.estimate(estimate.data());
    const std::vector<float> latents(trajectory.latents(), trajectory.latents() + noise.size());
    const auto shown = aptp::preview(trajectory, bundle.manifest().decoder, height, width);
    std::vector<float> decoded(latents.begin(), latents.begin() + static_cast<std::ptrdiff_t>(3 * height * width));
    return {{"timesteps", timesteps},
            {"latents", hexadecimal(latents)},
            {"estimate", hexadecimal(estimate)},
            {"pixels", hexadecimal(aptp::to_pixels(decoded.data(), height, width))},
            {"preview", shown ? json(hexadecimal(*shown)) : json()}};
}

}  // namespace

int main(int count, char** arguments) {
    if (count != 2) {
        std::cerr << "usage: schedules BUNDLE\n";
        return 2;
    }
    const auto bundle = aptp::Bundle::open(arguments[1]);
    for (std::string line; std::getline(std::cin, line);) {
        try {
            std::cout << walk(*bundle, json::parse(line)) << '\n';
        } catch (const aptp::Failure& failure) {
            std::cout << json{{"error", aptp::name_of(failure.status())}, {"message", failure.what()}} << '\n';
        }
    }
}
