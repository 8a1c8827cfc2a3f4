#include <doctest/doctest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

#include "engines/session.hpp"
#include "errors.hpp"

namespace {

// ONNX by hand, for it is but nested fields: a tag, a length, and what it
// holds.
std::string field(int number, const std::string& bytes) {
    std::string text(1, static_cast<char>(number << 3 | 2));
    for (std::size_t size = bytes.size();; size >>= 7) {
        const bool goes_on = size > 0x7f;
        text += static_cast<char>((size & 0x7f) | (goes_on ? 0x80 : 0));
        if (!goes_on) break;
    }
    return text + bytes;
}

std::string number(int at, int value) { return {static_cast<char>(at << 3), static_cast<char>(value)}; }

// A float32 tensor whose dimensions are names, or numbers of one digit.
std::string tensor(const std::string& name, const std::vector<std::string>& dimensions) {
    std::string shape;
    for (const std::string& each : dimensions) {
        const bool is_size = each[0] >= '0' && each[0] <= '9';
        shape += field(1, is_size ? number(1, each[0] - '0') : field(2, each));
    }
    return field(1, name) + field(2, field(1, number(1, 1) + field(2, shape)));
}

// out_sample = sample * context, for any batch and sides.
std::string graph() {
    const std::string node = field(1, "sample") + field(1, "context") + field(2, "out_sample") + field(4, "Mul");
    const std::vector<std::string> sample{"batch", "1", "height", "width"};
    const std::string body = field(1, node) + field(2, "g") + field(11, tensor("sample", sample)) +
                             field(11, tensor("timestep", {"batch"})) +
                             field(11, tensor("context", {"batch", "1", "1", "1"})) +
                             field(12, tensor("out_sample", sample));
    return number(1, 8) + field(7, body) + field(8, number(2, 13));
}

struct Graph {
    std::filesystem::path path;

    explicit Graph(const std::string& bytes) {
        char place[] = "/tmp/aptp-graph-XXXXXX";
        std::fclose(fdopen(mkstemp(place), "w"));
        path = place;
        std::ofstream(path, std::ios::binary) << bytes;
    }
    ~Graph() { std::filesystem::remove(path); }
};

std::shared_ptr<const aptp::Conditioning> context(std::vector<float> values) {
    const aptp::Shape shape{static_cast<std::int64_t>(values.size()), 1, 1, 1};
    auto tensor = std::make_shared<aptp::Tensor>(aptp::Tensor{shape, std::move(values)});
    return std::make_shared<aptp::Conditioning>(aptp::Conditioning{{"context", tensor}});
}

template <typename Call>
std::string refusal(Call call) {
    try {
        call();
    } catch (const aptp::Failure& failure) {
        CHECK(failure.status() == aptp::Status::engine);
        return failure.what();
    }
    return "";
}

}  // namespace

TEST_CASE("an engine follows its inputs, kept conditioning and new") {
    const Graph file(graph());
    aptp::GraphEngine engine(std::make_unique<aptp::Session>(file.path, aptp::SessionSettings{}));
    float sample[] = {1, 2, 3, 4};
    const float timestep[] = {0, 0};
    float output[4] = {};
    aptp::EngineCall call{sample, timestep, 2, 1, 1, 2, context({10, 100}), output};
    engine.run(call);
    CHECK(std::vector<float>(output, output + 4) == std::vector<float>{10, 20, 300, 400});
    sample[0] = 5;  // written to again, as the service does
    engine.run(call);
    CHECK(output[0] == 50);
    call.conditioning = context({1, 2});
    engine.run(call);
    CHECK(std::vector<float>(output, output + 4) == std::vector<float>{5, 2, 6, 8});
}

TEST_CASE("a call that fails tells so, and the next one runs") {
    const Graph file(graph());
    aptp::SessionSettings settings;
    settings.overrides = {{"height", 1}, {"width", 2}};
    settings.threads = 1;
    aptp::GraphEngine engine(std::make_unique<aptp::Session>(file.path, settings));
    const float sample[] = {1, 2, 3, 4};
    const float timestep[] = {0};
    float output[4] = {};
    CHECK(refusal([&] {
              engine.run({sample, timestep, 1, 1, 2, 2, context({2}), output});
          }).find("failed while running") != std::string::npos);
    engine.run({sample, timestep, 1, 1, 1, 2, context({2}), output});
    CHECK(output[1] == 4);
}

TEST_CASE("what is no graph does not open, and a graph of other inputs is refused") {
    const Graph broken("no graph");
    CHECK(refusal([&] { aptp::Session(broken.path, {}); }).find("does not open on provider 'cpu'") !=
          std::string::npos);
    const Graph file(graph());
    const aptp::Session session(file.path, {});
    CHECK(refusal([&] {
              session.require({"sample", "timestep"}, "out_sample");
          }).find("build the bundle again") != std::string::npos);
    CHECK(refusal([&] { session.require({"context", "sample", "timestep"}, "other"); }) != "");
    CHECK(refusal([&] { session.require({"timestep", "context", "sample"}, "out_sample"); }) == "");
}
