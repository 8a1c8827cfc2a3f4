// room: service
// What the runtime costs above its engines: microseconds per request and step, as JSON lines, for as many rounds as the
// first argument says. Engines do nothing; latents are [4, 64, 64], prompts [77, 1024], as in
// bench/runtime_overhead.py.
#include <algorithm>
#include <array>
#include <condition_variable>
#include <cstdlib>
#include <iostream>
#include <map>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "service/batch.hpp"
#include "service/dispatcher.hpp"

namespace {

constexpr std::array<std::int64_t, 3> SHAPE{4, 64, 64};
constexpr std::size_t SIZE = 4 * 64 * 64;
constexpr std::int64_t EMBEDDING = 1280;
constexpr std::size_t STEPS = 50;
constexpr std::size_t RUNNING = 64;
constexpr std::size_t SERVED = 128;
constexpr std::size_t EXPERTS = 4;

struct NoEngine final : aptp::Engine {
    void run(const aptp::EngineCall&) override {}
};

std::shared_ptr<const aptp::SolverSteps> solver_steps(std::size_t window) {
    auto steps = std::make_shared<aptp::SolverSteps>();
    steps->window = window;
    for (std::size_t index = 0; index < STEPS; ++index) {
        aptp::Row row;
        row.timestep = static_cast<float>(index);
        row.input_scale = 1;
        row.states = {{0, 0.5F}};
        // The state once, every output of the window.
        for (std::size_t back = 0; back < std::min(window, index + 1); ++back) row.outputs.push_back({back, 0.5F});
        steps->rows.push_back(row);
    }
    return steps;
}

std::shared_ptr<aptp::Denoising> denoising(std::size_t window, float guidance) {
    auto tensor = std::make_shared<aptp::Tensor>();
    tensor->shape = {1, 77, 1024};
    tensor->values.resize(77 * 1024);
    const aptp::Conditioning prompt{{"encoder_hidden_states", tensor}};
    std::optional<aptp::Conditioning> negative;
    if (guidance != 1) negative = prompt;
    auto embeddings = std::make_shared<aptp::Tensor>();
    embeddings->shape = {STEPS, EMBEDDING};
    embeddings->values.resize(STEPS * EMBEDDING);
    const std::vector<float> noise(SIZE, 1.0F);
    return std::make_shared<aptp::Denoising>("0", aptp::Trajectory(solver_steps(window), noise.data(), SIZE), SHAPE,
                                             embeddings, prompt, negative, guidance);
}

// Latents gathered, and a step of the schedule for each request.
double stepping(std::size_t window, float guidance, std::size_t batch) {
    aptp::Denoisings denoisings;
    for (std::size_t index = 0; index < batch; ++index) denoisings.push_back(denoising(window, guidance));
    aptp::Batch group(denoisings);
    NoEngine engine;
    const double begin = aptp::steady_seconds();
    for (std::size_t step = 0; step < STEPS; ++step) group.run(engine);
    return 1e6 * (aptp::steady_seconds() - begin) / static_cast<double>(STEPS * batch);
}

// The floor of the dearest case, a guided step of PNDM: its ten arrays (two outputs and two inputs of the engine, two
// states, four earlier outputs), six of them read and four written, as five that are copied to five others.
double copying(std::size_t batch) {
    constexpr std::size_t COPIED = 5;
    std::vector<std::vector<float>> arrays(batch, std::vector<float>(2 * COPIED * SIZE));
    const double begin = aptp::steady_seconds();
    for (std::size_t step = 0; step < STEPS; ++step) {
        for (auto& array : arrays) std::copy_n(array.data(), COPIED * SIZE, array.data() + COPIED * SIZE);
    }
    return 1e6 * (aptp::steady_seconds() - begin) / static_cast<double>(STEPS * batch);
}

// Counts those that are done.
struct Done {
    void add() {
        const std::lock_guard lock(mutex);
        ++count;
        changed.notify_one();
    }
    void wait(std::size_t wanted) {
        std::unique_lock lock(mutex);
        changed.wait(lock, [&] { return count == wanted; });
    }
    std::mutex mutex;
    std::condition_variable changed;
    std::size_t count = 0;
};

// Work for a dispatcher that is nothing but its scheduling.
struct Idle final : aptp::Work {
    Idle(aptp::Key key, Done& counter) : engine(key), done(counter) {}
    aptp::Key need() const override { return engine; }
    std::optional<aptp::Key> upcoming() const override { return std::nullopt; }
    bool ended() const override { return made == STEPS; }
    aptp::Event started() override { return aptp::Started{}; }
    std::optional<aptp::Event> step() override { return std::nullopt; }
    aptp::Event finished() override { return aptp::Finished{}; }
    void hear(const aptp::Event& event) override {
        if (std::holds_alternative<aptp::Failed>(event)) std::abort();
        if (aptp::is_end(event)) done.add();
    }

    const aptp::Key engine;
    Done& done;
    std::size_t made = 0;
};

struct NoHandler final : aptp::Handler {
    void prepare(aptp::Work&) override {}
    std::unique_ptr<aptp::Opened> open(aptp::Key) override { return std::make_unique<aptp::Opened>(); }
    void call(aptp::Key, aptp::Opened&, const std::vector<aptp::Work*>& works) override {
        for (aptp::Work* work : works) ++static_cast<Idle*>(work)->made;
    }
    void close(aptp::Key, std::unique_ptr<aptp::Opened>) override {}
};

// Deciding, handing over and telling, all threads running.
double scheduling(std::int64_t batch) {
    aptp::QueueLimits limits;
    limits.running = RUNNING;
    NoHandler handler;
    aptp::Dispatcher dispatcher(
        aptp::Scheduler(limits, aptp::MemoryBudget(EXPERTS, [](aptp::Key) { return std::uint64_t{1}; }),
                        [=](aptp::Key) { return batch; }),
        handler);
    Done done;
    const double begin = aptp::steady_seconds();
    for (std::size_t index = 0; index < SERVED; ++index) {
        dispatcher.submit(std::make_shared<Idle>(index % EXPERTS, done));
    }
    done.wait(SERVED);
    return 1e6 * (aptp::steady_seconds() - begin) / static_cast<double>(SERVED * STEPS);
}

}  // namespace

int main(int count, char** arguments) {
    const int rounds = count > 1 ? std::atoi(arguments[1]) : 60;
    const std::map<std::string, std::size_t> windows{{"ddim", 1}, {"dpmpp_2m", 2}, {"pndm", 4}};
    for (int round = 0; round < rounds; ++round) {  // in turns, so that a slow moment hits every case
        nlohmann::json samples;
        for (const auto& [name, window] : windows) {
            for (const auto& [text, guidance] : {std::pair{"1", 1.0F}, std::pair{"7.5", 7.5F}}) {
                for (const std::size_t batch : {1, 4}) {
                    const std::string key = name + ", guidance " + text + ", batch " + std::to_string(batch);
                    samples["steps"][key] = stepping(window, guidance, batch);
                }
            }
        }
        for (const std::size_t batch : {1, 4}) {
            samples["floor"]["pndm, guidance 7.5, batch " + std::to_string(batch)] = copying(batch);
        }
        for (const std::int64_t batch : {1, 8}) {
            samples["scheduling"][std::to_string(batch) + " to a call"] = scheduling(batch);
        }
        std::cout << samples.dump() << std::endl;
    }
}
