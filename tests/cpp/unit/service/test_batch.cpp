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

std::shared_ptr<aptp::Request> request(aptp::Plan plan, aptp::TimeEmbeddings embeddings, bool guided) {
    auto course = std::make_shared<aptp::Course>();
    course->rows.resize(plan.size());
    const float noise[] = {1};
    const aptp::Conditioning prompt{{"prompt", table({1, 1}, {0})}};
    return std::make_shared<aptp::Request>(std::move(plan), aptp::Trajectory(course, noise, 1),
                                           std::array<std::int64_t, 3>{1, 1, 1}, std::move(embeddings), prompt,
                                           guided ? std::optional(prompt) : std::nullopt, guided ? 2.0F : 1.0F);
}

}  // namespace

TEST_CASE("each row of a call has the time embedding of its request's row, by the expert that the plan names") {
    const auto one = table({3, 2}, {1, 2, 3, 4, 5, 6});
    const auto other = table({3, 2}, {10, 20, 30, 40, 50, 60});
    const auto guided = request({"a", "b", "a"}, {{"a", one}, {"b", other}}, true);
    const auto plain = request({"b", "b", "b"}, {{"b", other}}, false);
    Listener engine;
    aptp::Batch({guided}).run(engine);
    aptp::Batch both({guided, plain});
    both.run(engine);
    both.run(engine);
    CHECK(engine.heard ==
          std::vector<std::vector<float>>{{1, 2, 1, 2}, {30, 40, 30, 40, 10, 20}, {5, 6, 5, 6, 30, 40}});
}

TEST_CASE("embeddings of two widths share no call") {
    const auto narrow = request({"a", "a"}, {{"a", table({2, 1}, {1, 2})}}, false);
    const auto wide = request({"b", "b"}, {{"b", table({2, 2}, {1, 2, 3, 4})}}, false);
    Listener engine;
    aptp::Batch both({narrow, wide});
    CHECK_THROWS_WITH_AS(both.run(engine),
                         "the clock of expert 'b': gave 2 values a row, and others 1; build the bundle again",
                         aptp::Failure);
    CHECK(engine.heard.empty());
}
