// Graphs on OpenVINO, in builds that have it.
#ifdef APTP_WITH_OPENVINO
#include "engines/openvino.hpp"

#include <limits>
#include <string>
#include <vector>

#include "../../fakes/graph_file.hpp"
#include "engines/session.hpp"

using graphs::context;
using graphs::has;
using graphs::refusal;

namespace {

const std::vector<std::string> INPUTS{"context", "sample", "time_embedding"};

aptp::GraphSettings settings(std::map<std::string, std::int64_t> overrides = {}) {
    aptp::GraphSettings found;
    found.engine = aptp::OPENVINO;
    found.overrides = std::move(overrides);
    return found;
}

}  // namespace

TEST_CASE("what is linked is new enough, and what is too old says so") {
    CHECK_FALSE(aptp::openvino::missing());
    CHECK_FALSE(aptp::openvino::too_old("2026.1.0"));
    CHECK_FALSE(aptp::openvino::too_old("2027.0"));
    CHECK(aptp::openvino::too_old("2026.0.1") == "openvino 2026.0.1 is linked, and this engine needs 2026.1 or newer");
    CHECK(aptp::openvino::too_old("2025.4.0"));
}

TEST_CASE("an engine on OpenVINO follows its inputs, kept conditioning and new, with rows pinned and open") {
    const graphs::File file(graphs::unet());
    for (const auto& overrides : {std::map<std::string, std::int64_t>{{"batch", 2}, {"height", 1}, {"width", 2}},
                                  std::map<std::string, std::int64_t>{{"height", 1}, {"width", 2}}}) {
        const auto engine = aptp::open_unet(file.path, settings(overrides), INPUTS);
        float sample[] = {1, 2, 3, 4};
        float time_embedding[] = {0, 0.5F};
        float output[4] = {};
        aptp::EngineCall call{sample, time_embedding, 2, 1, 1, 1, 2, context({10, 100}), output};
        engine->run(call);
        CHECK(std::vector<float>(output, output + 4) == std::vector<float>{10, 20, 300.5F, 400.5F});
        sample[0] = 5;  // written to again, as the service does
        time_embedding[0] = 1;
        engine->run(call);
        CHECK(output[0] == 51);
        call.conditioning = context({1, 2});
        engine->run(call);
        CHECK(std::vector<float>(output, output + 4) == std::vector<float>{6, 3, 6.5F, 8.5F});
    }
}

TEST_CASE("rows that are not pinned may change from call to call") {
    const graphs::File file(graphs::unet());
    const auto engine = aptp::open_unet(file.path, settings({{"height", 1}, {"width", 1}}), INPUTS);
    const std::vector<float> sample{1, 2, 3}, time_embedding{10, 20, 30};
    for (const std::int64_t rows : {3, 1, 2}) {
        std::vector<float> output(4, -1);
        const auto ones = context(std::vector<float>(static_cast<std::size_t>(rows), 1));
        engine->run({sample.data(), time_embedding.data(), rows, 1, 1, 1, 1, ones, output.data()});
        std::vector<float> wanted{11, 22, 33, -1};
        std::fill(wanted.begin() + rows, wanted.end(), -1.0F);
        CHECK(output == wanted);
    }
}

TEST_CASE("a call that fails on OpenVINO tells so, and the next one runs") {
    const graphs::File file(graphs::unet());
    const auto engine = aptp::open_unet(file.path, settings({{"batch", 1}, {"height", 1}, {"width", 2}}), INPUTS);
    const float sample[] = {1, 2, 3, 4};
    const float time_embedding[] = {0, 0};
    float output[4] = {};
    const auto refused = [&](const aptp::EngineCall& call) {
        return has(refusal([&] { engine->run(call); }), file.path.string() + ": failed while running: ");
    };
    CHECK(refused({sample, time_embedding, 1, 1, 1, 2, 2, context({2}), output}));
    CHECK(refused({sample, time_embedding, 1, 2, 1, 1, 2, context({2}), output}));
    CHECK(refused({sample, time_embedding, 2, 1, 1, 1, 2, context({2, 2}), output}));
    engine->run({sample, time_embedding, 1, 1, 1, 1, 2, context({2}), output});
    CHECK(output[1] == 4);
}

TEST_CASE("OpenVINO opens no file that is no graph, and refuses a graph of other inputs as ONNX Runtime does") {
    const graphs::File broken("no graph");
    CHECK(has(refusal([&] { aptp::open_graph(broken.path, settings()); }), "does not open on engine 'openvino'"));
    const graphs::File file(graphs::unet());
    const std::vector<std::string> inputs{"sample", "timestep"};
    const std::string told = refusal([&] { aptp::open_unet(file.path, settings(), inputs); });
    CHECK(told != "");
    CHECK(told == refusal([&] { aptp::open_unet(file.path, {}, inputs); }));
}

TEST_CASE("graphs on OpenVINO give what the CPU provider gives; bfloat16 has eight bits where it computes in it") {
    const graphs::File file(graphs::unet());
    const std::vector<float> sample{1.0F / 3, 1.25F}, zero{0}, one{1.0F / 7};
    const std::vector<aptp::Feed> feeds{{"sample", {1, 1, 1, 2}, sample.data(), nullptr},
                                        {"time_embedding", {1, 1}, zero.data(), nullptr},
                                        {"context", {1, 1, 1, 1}, one.data(), nullptr}};
    const auto run = [&](const aptp::GraphSettings& how) {
        return aptp::open_graph(file.path, how)->run({"out_sample"}, feeds).front();
    };
    const aptp::Tensor wanted = run({}), found = run(settings());
    CHECK(found.shape == aptp::Shape{1, 1, 1, 2});
    CHECK(found.values == wanted.values);
    aptp::GraphSettings reduced = settings();
    reduced.precision = "bfloat16";
    for (std::size_t index = 0; index < sample.size(); ++index) {
        CHECK(run(reduced).values[index] == doctest::Approx(wanted.values[index]).epsilon(0.01));
    }
}
#endif
