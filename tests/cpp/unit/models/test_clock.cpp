#include "models/clock.hpp"

#include <string>
#include <vector>

#include "../../fakes/graph_file.hpp"
#include "files/sha256.hpp"

using graphs::has;
using graphs::refusal;

namespace {

// A bundle of nothing but experts' clocks, by expert.
class Clocks {
public:
    explicit Clocks(const std::map<std::string, std::string>& graphs_by_expert) {
        char place[] = "/tmp/aptp-clocks-XXXXXX";
        folder_ = mkdtemp(place);
        aptp::Manifest manifest;
        for (const auto& [name, bytes] : graphs_by_expert) {
            const std::string path = name + ".onnx";
            std::ofstream(folder_ / path, std::ios::binary) << bytes;
            manifest.files[path] = {static_cast<std::int64_t>(bytes.size()), aptp::sha256(bytes)};
            manifest.experts[name].clock.graph = path;
        }
        bundle_ = std::make_shared<const aptp::Bundle>(folder_, manifest, "");
        const aptp::CacheOptions cache{folder_.string(), false, {}};
        sessions_ = std::make_unique<aptp::Sessions>(bundle_, cache, std::nullopt);
        clock_ = std::make_unique<aptp::Clock>(bundle_->manifest().experts, *sessions_);
    }
    ~Clocks() { std::filesystem::remove_all(folder_); }
    Clocks(const Clocks&) = delete;
    Clocks& operator=(const Clocks&) = delete;

    std::shared_ptr<const aptp::Tensor> operator()(const std::string& expert, const std::vector<float>& timesteps) {
        aptp::SolverSteps steps;
        for (const float timestep : timesteps) {
            steps.rows.emplace_back();
            steps.rows.back().timestep = timestep;
        }
        return (*clock_)(expert, steps);
    }

    const std::filesystem::path& folder() const { return folder_; }

private:
    std::filesystem::path folder_;
    std::shared_ptr<const aptp::Bundle> bundle_;
    std::unique_ptr<aptp::Sessions> sessions_;
    std::unique_ptr<aptp::Clock> clock_;
};

}  // namespace

TEST_CASE("a clock gives an embedding for each row of a solver, and remembers the last tables") {
    Clocks clocks({{"0", graphs::clock()}, {"1", graphs::clock()}});
    const auto first = clocks("0", {16, 4, 0.25F});
    CHECK(first->shape == aptp::Shape{3, 1});
    CHECK(first->values == std::vector<float>{4, 2, 0.5F});
    CHECK(clocks("0", {16, 4, 0.25F}) == first);
    CHECK(clocks("1", {16, 4, 0.25F}) != first);
    CHECK(clocks("0", {16, 4})->values == std::vector<float>{4, 2});
    for (float timestep = 0; timestep < 29; ++timestep) clocks("0", {timestep});
    CHECK(clocks("0", {16, 4, 0.25F}) == first);  // of 32 tables the oldest, and now the newest
    for (float timestep = 100; timestep < 132; ++timestep) clocks("0", {timestep});
    const auto again = clocks("0", {16, 4, 0.25F});
    CHECK(again != first);
    CHECK(again->values == first->values);
}

TEST_CASE("a clock opens once, when it is needed") {
    Clocks clocks({{"0", graphs::clock()}, {"1", graphs::clock()}});
    clocks("0", {1});
    std::filesystem::remove(clocks.folder() / "0.onnx");
    std::filesystem::remove(clocks.folder() / "1.onnx");
    CHECK(clocks("0", {4})->values == std::vector<float>{2});
    CHECK_THROWS_AS(clocks("1", {4}), aptp::Failure);
}

TEST_CASE("a clock that is none is refused, and so is what is not finite") {
    Clocks clocks({{"0", graphs::clock()}, {"1", graphs::clock(true)}, {"2", graphs::unet()}});
    CHECK(refusal([&] { clocks("0", {1, -1}); }) ==
          "the clock of expert '0': gave (2, 1) values, not 2 rows of finite ones; build the bundle again");
    CHECK(has(refusal([&] { clocks("1", {1, 4}); }), "gave (2,) values, not 2 rows"));
    CHECK(has(refusal([&] { clocks("2", {1}); }),
              "2.onnx: takes ['context', 'sample', 'time_embedding'] and gives ['out_sample'], and the manifest says "
              "['timestep'] and 'time_embedding'; build the bundle again"));
}
