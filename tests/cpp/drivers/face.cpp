// Uses all of aptp.hpp on a bundle, and prints as JSON what it found.
//
//     face BUNDLE CACHE IMAGE
#include <atomic>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "aptp.hpp"

namespace {

using nlohmann::json;

// The status of what a call throws.
template <typename Call>
std::string thrown(Call call) {
    try {
        call();
        return "nothing";
    } catch (const aptp::Error& error) {
        return aptp_status_name(error.status());
    } catch (const std::exception& other) {
        return other.what();
    }
}

json generate(aptp::Runtime& runtime, const std::string& path) {
    aptp::RequestOptions options;
    options.seed = 7;
    options.code = "1";
    options.guidance = 2.0;
    options.steps_wanted = options.latents_wanted = true;
    options.previews = 2;
    int steps = 0;
    int previews = 0;
    std::size_t latents = 0;
    options.on_event = [&](const aptp_event& event) {
        if (event.kind != APTP_EVENT_STEP) return;
        ++steps;
        previews += event.preview != nullptr ? 1 : 0;
        latents = static_cast<std::size_t>(event.latents_channels * event.latents_height * event.latents_width);
    };
    const aptp::Image image = runtime.generate("a red circle", options);
    image.save(path);
    return {{"steps", steps},           {"previews", previews},        {"latents", latents},
            {"height", image.height()}, {"width", image.width()},      {"expert", image->expert},
            {"seed", image->seed},      {"guidance", image->guidance}, {"described", json::parse(image.description())}};
}

json refusals(aptp::Runtime& runtime) {
    const auto refused = [&](auto change) {
        aptp::RequestOptions options;
        change(options);
        return thrown([&] { runtime.generate("a red circle", options); });
    };
    using Options = aptp::RequestOptions;
    return {refused([](Options& options) { options.guidance = -1; }),
            refused([](Options& options) { options.code = "7"; }),
            refused([](Options& options) {
                options.latents = aptp::Latents{4, 8, 8, {}};
            }),
            refused([](Options& options) { options.deadline = 1e-6; }),
            refused([](Options& options) {
                options.steps_wanted = true;
                options.on_event = [](const aptp_event& event) {
                    if (event.kind == APTP_EVENT_STEP) throw std::runtime_error("enough");
                };
            }),
            thrown([] { aptp::Runtime("/nowhere"); })};
}

// How many of several threads' images are the same as one made alone.
int alike(aptp::Runtime& runtime) {
    const aptp::Image alone = runtime.generate("a blue square");
    const std::vector<std::uint8_t> wanted(alone.pixels(), alone.pixels() + 3 * alone.height() * alone.width());
    std::atomic<int> same = 0;
    std::vector<std::thread> threads;
    for (int number = 0; number < 4; ++number) {
        threads.emplace_back([&] {
            const aptp::Image image = runtime.generate("a blue square");
            same += std::equal(wanted.begin(), wanted.end(), image.pixels()) ? 1 : 0;
        });
    }
    for (auto& thread : threads) thread.join();
    return same;
}

// What the bundle can be asked for here.
json capabilities(aptp::Runtime& runtime) {
    json told;
    for (const aptp::EngineInfo& engine : runtime.engines()) told["engines"][engine.name] = engine.missing.value_or("");
    for (const aptp::SolverInfo& solver : runtime.solvers()) told["solvers"][solver.name] = solver.steps;
    return told;
}

// Images that were ordered together, and one that comes later, beside the same ones alone.
bool comes_together(aptp::Runtime& runtime) {
    const auto same = [&](const aptp::Image& image, const std::string& prompt) {
        const aptp::Image alone = runtime.generate(prompt);
        return std::equal(alone.pixels(), alone.pixels() + 3 * alone.height() * alone.width(), image.pixels());
    };
    std::future<aptp::Image> later = runtime.generate_async("a red circle");
    const std::vector<aptp::Request> requests = runtime.submit({{"a blue square", {}}, {"a yellow star", {}}});
    return same(later.get(), "a red circle") && same(requests[0].image(), "a blue square") &&
           same(requests[1].image(), "a yellow star");
}

}  // namespace

int main(int count, char** arguments) {
    if (count != 4) return 2;
    aptp::OpenOptions options;
    options.engine = "cpu";
    options.cache = arguments[2];
    options.warm = true;
    aptp::Runtime runtime(arguments[1], options);
    json told;
    told["image"] = generate(runtime, arguments[3]);
    told["refusals"] = refusals(runtime);
    told["unwritable"] = thrown([&] { runtime.generate("a red circle").save("/nowhere/image.png"); });
    told["alike"] = alike(runtime);
    told["together"] = comes_together(runtime);
    told["capabilities"] = capabilities(runtime);
    const aptp::Request forgotten = runtime.submit("a red circle");
    forgotten.cancel();
    told["ended"] = forgotten.wait();
    told["cancelled"] = thrown([&] { static_cast<void>(forgotten.image()); });
    told["code"] = runtime.route("a red circle").code;
    runtime.reload();
    for (const aptp_expert_status& expert : runtime.experts()) told["experts"].push_back(expert.name);
    told["engine"] = runtime.info().engine;
    runtime.free_engines();
    told["drained"] = runtime.drain();
    told["closed"] = thrown([&] { runtime.submit("a red circle"); });
    told["running"] = runtime.status().running;
    std::cout << told.dump() << std::endl;
}
