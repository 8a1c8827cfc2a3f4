#include "models/clock.hpp"

#include <algorithm>
#include <cmath>

#include "errors.hpp"

namespace aptp {

namespace {

constexpr std::size_t KEPT = 32;  // tables; 50 rows of 1,280 floats are 0.25 MB
constexpr const char* OUTPUT = "time_embedding";

}  // namespace

std::shared_ptr<const Tensor> Clock::operator()(const std::string& expert, const SolverSteps& steps) {
    std::vector<float> timesteps;
    for (const Row& row : steps.rows) timesteps.push_back(row.timestep);
    const std::lock_guard lock(mutex_);
    const auto found = std::find_if(kept_.begin(), kept_.end(), [&](const Kept& each) {
        return each.expert == expert && each.timesteps == timesteps;
    });
    if (found != kept_.end()) {
        kept_.splice(kept_.begin(), kept_, found);
        return kept_.front().embeddings;
    }
    auto embeddings = compute(expert, timesteps);
    kept_.push_front({expert, std::move(timesteps), std::move(embeddings)});
    if (kept_.size() > KEPT) kept_.pop_back();
    return kept_.front().embeddings;
}

std::shared_ptr<const Tensor> Clock::compute(const std::string& expert, const std::vector<float>& timesteps) {
    auto& graph = graphs_[expert];
    if (graph == nullptr) {
        auto opened = sessions_.open(experts_.find(expert)->second.clock);
        opened->require({"timestep"}, OUTPUT);
        graph = std::move(opened);
    }
    const auto rows = static_cast<std::int64_t>(timesteps.size());
    Tensor found = std::move(graph->run({OUTPUT}, {{"timestep", {rows}, timesteps.data(), nullptr}}).front());
    const bool is_finite =
        std::all_of(found.values.begin(), found.values.end(), [](float value) { return std::isfinite(value); });
    if (found.shape.size() != 2 || found.shape.front() != rows || !is_finite) {
        throw Failure(Status::engine, "the clock of expert '" + expert + "': gave " + text_of(found.shape) +
                                          " values, not " + std::to_string(rows) +
                                          " rows of finite ones; build the bundle again");
    }
    return std::make_shared<const Tensor>(std::move(found));
}

}  // namespace aptp
