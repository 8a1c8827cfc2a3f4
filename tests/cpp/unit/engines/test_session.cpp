#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "../../fakes/graph_file.hpp"
#include "engines/graphs.hpp"
#include "engines/session.hpp"

using graphs::context;
using graphs::has;
using graphs::refusal;

TEST_CASE("an engine follows its inputs, kept conditioning and new") {
    const graphs::File file(graphs::unet());
    aptp::SessionEngine engine(std::make_unique<aptp::Session>(file.path, aptp::SessionSettings{}));
    float sample[] = {1, 2, 3, 4};
    float time_embedding[] = {0, 0.5F};
    float output[4] = {};
    aptp::EngineCall call{sample, time_embedding, 2, 1, 1, 1, 2, context({10, 100}), output};
    engine.run(call);
    CHECK(std::vector<float>(output, output + 4) == std::vector<float>{10, 20, 300.5F, 400.5F});
    sample[0] = 5;  // written to again, as the service does
    time_embedding[0] = 1;
    engine.run(call);
    CHECK(output[0] == 51);
    call.conditioning = context({1, 2});
    engine.run(call);
    CHECK(std::vector<float>(output, output + 4) == std::vector<float>{6, 3, 6.5F, 8.5F});
}

TEST_CASE("a call that fails tells so, and the next one runs") {
    const graphs::File file(graphs::unet());
    aptp::SessionSettings settings;
    settings.overrides = {{"height", 1}, {"width", 2}};
    settings.threads = 1;
    aptp::SessionEngine engine(std::make_unique<aptp::Session>(file.path, settings));
    const float sample[] = {1, 2, 3, 4};
    const float time_embedding[] = {0, 0};
    float output[4] = {};
    CHECK(has(refusal([&] {
                  engine.run({sample, time_embedding, 1, 1, 1, 2, 2, context({2}), output});
              }),
              "failed while running"));
    CHECK(has(refusal([&] {
                  engine.run({sample, time_embedding, 1, 2, 1, 1, 2, context({2}), output});
              }),
              "failed while running"));
    engine.run({sample, time_embedding, 1, 1, 1, 1, 2, context({2}), output});
    CHECK(output[1] == 4);
}

TEST_CASE("what is no graph does not open, and a graph of other inputs is refused") {
    const graphs::File broken("no graph");
    CHECK(has(refusal([&] { aptp::Session(broken.path, {}); }), "does not open on provider 'cpu'"));
    const graphs::File file(graphs::unet());
    const aptp::Session session(file.path, {});
    CHECK(has(refusal([&] { session.require({"sample", "time_embedding"}, "out_sample"); }), "build the bundle again"));
    CHECK(refusal([&] { session.require({"context", "sample", "time_embedding"}, "other"); }) != "");
    CHECK(refusal([&] { session.require({"time_embedding", "context", "sample"}, "out_sample"); }) == "");
}

namespace {

std::ptrdiff_t threads() {
    const std::filesystem::directory_iterator tasks("/proc/self/task");
    return std::distance(begin(tasks), end(tasks));
}

}  // namespace

TEST_CASE("sessions share their threads, unless they are to have another number") {
    const graphs::File file(graphs::unet());
    aptp::share_threads(std::nullopt, true);
    const aptp::Session first(file.path, {});
    const std::ptrdiff_t before = threads();
    const aptp::Session second(file.path, {});
    CHECK(threads() == before);
    aptp::SessionSettings settings;
    settings.threads = 3;  // the caller of a run is one of them
    const aptp::Session other(file.path, settings);
    CHECK(threads() == before + 2);
}

TEST_CASE("a log hears what ONNX Runtime says of a session, and what it throws ends nothing") {
    const graphs::File file(graphs::unet());
    std::vector<std::string> lines;
    bool has_errors = false;
    aptp::SessionSettings settings;
    settings.log = std::make_shared<const aptp::Log>([&](const std::string& message, bool is_error) {
        lines.push_back(message);
        has_errors = has_errors || is_error;
        throw std::runtime_error("a log that throws");
    });
    aptp::SessionEngine engine(std::make_unique<aptp::Session>(file.path, settings));
    const float sample[] = {1, 2};
    const float time_embedding[] = {0, 0};
    float output[2] = {};
    CHECK(has(refusal([&] {
                  engine.run({sample, time_embedding, 2, 1, 1, 1, 1, context({1, 2, 3}), output});
              }),
              "failed while running"));
    CHECK(has_errors);
    REQUIRE_FALSE(lines.empty());
    for (const std::string& line : lines) CHECK(line.rfind("onnxruntime: ", 0) == 0);
}
