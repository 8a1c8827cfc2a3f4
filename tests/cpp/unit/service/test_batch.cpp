// What requests tell an engine of their timesteps, when they share its calls.
#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <vector>

#include "errors.hpp"
#include "service/batch.hpp"

namespace {

// Keeps the embeddings of each call.
struct Listener final : aptp::Engine {
    void run(const aptp::EngineCall& call) override {
        const auto size = static_cast<std::size_t>(call.rows * call.embedding_width);
        heard.emplace_back(call.time_embedding, call.time_embedding + size);
    }
    std::vector<std::vector<float>> heard;
};

std::shared_ptr<const aptp::Tensor> table(const aptp::Shape& shape, std::vector<float> values) {
    return std::make_shared<aptp::Tensor>(aptp::Tensor{shape, std::move(values)});
}

std::shared_ptr<aptp::Denoising> denoising(const char* expert, std::shared_ptr<const aptp::Tensor> time_embeddings,
                                           bool guided) {
    auto steps = std::make_shared<aptp::SolverSteps>();
    steps->rows.resize(static_cast<std::size_t>(time_embeddings->shape.front()));
    const float noise[] = {1};
    const aptp::Conditioning prompt{{"prompt", table({1, 1}, {0})}};
    return std::make_shared<aptp::Denoising>(expert, aptp::Trajectory(steps, noise, 1),
                                             std::array<std::int64_t, 3>{1, 1, 1}, std::move(time_embeddings), prompt,
                                             guided ? std::optional(prompt) : std::nullopt, guided ? 2.0F : 1.0F);
}

}  // namespace

TEST_CASE("each row of a call has the time embedding of its own row, by the clock of its own expert") {
    const auto guided = denoising("a", table({3, 2}, {1, 2, 3, 4, 5, 6}), true);
    const auto plain = denoising("b", table({3, 2}, {10, 20, 30, 40, 50, 60}), false);
    Listener engine;
    aptp::Batch({guided}).run(engine);
    aptp::Batch both({guided, plain});
    both.run(engine);
    both.run(engine);
    CHECK(engine.heard == std::vector<std::vector<float>>{{1, 2, 1, 2}, {3, 4, 3, 4, 10, 20}, {5, 6, 5, 6, 30, 40}});
}

TEST_CASE("embeddings of two widths share no call") {
    const auto narrow = denoising("a", table({2, 1}, {1, 2}), false);
    const auto wide = denoising("b", table({2, 2}, {1, 2, 3, 4}), false);
    Listener engine;
    aptp::Batch both({narrow, wide});
    CHECK_THROWS_WITH_AS(both.run(engine),
                         "the clock of expert 'b': gave 2 values a row, and others 1; build the bundle again",
                         aptp::Failure);
    CHECK(engine.heard.empty());
}
