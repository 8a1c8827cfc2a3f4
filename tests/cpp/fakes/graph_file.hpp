// A UNet of three nodes and a clock of two, written as ONNX by hand.
#pragma once

#include <doctest/doctest.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engines/tensor.hpp"
#include "errors.hpp"

namespace graphs {

// ONNX is but nested fields: a tag, a length, and what it holds.
inline std::string field(int number, const std::string& bytes) {
    std::string text(1, static_cast<char>(number << 3 | 2));
    for (std::size_t size = bytes.size();; size >>= 7) {
        const bool goes_on = size > 0x7f;
        text += static_cast<char>((size & 0x7f) | (goes_on ? 0x80 : 0));
        if (!goes_on) break;
    }
    return text + bytes;
}

inline std::string number(int at, int value) { return {static_cast<char>(at << 3), static_cast<char>(value)}; }

// A float32 tensor whose dimensions are names, or numbers of one digit.
inline std::string tensor(const std::string& name, const std::vector<std::string>& dimensions) {
    std::string shape;
    for (const std::string& each : dimensions) {
        const bool is_size = each[0] >= '0' && each[0] <= '9';
        shape += field(1, is_size ? number(1, each[0] - '0') : field(2, each));
    }
    return field(1, name) + field(2, field(1, number(1, 1) + field(2, shape)));
}

// The attribute `axes` of these numbers.
inline std::string axes(const std::vector<int>& numbers) {
    std::string values;
    for (const int each : numbers) values += number(8, each);
    return field(5, field(1, "axes") + values + "\xa0\x01\x07");  // type: integers
}

inline std::string model(const std::string& graph) { return number(1, 6) + field(7, graph) + field(8, number(2, 11)); }

// time_embedding = sqrt(timestep), [batch, 1]; or, where it is `flat`, [batch].
inline std::string clock(bool flat = false) {
    const char* root = flat ? "time_embedding" : "root";
    std::string body = field(1, field(1, "timestep") + field(2, root) + field(4, "Sqrt"));
    if (!flat) body += field(1, field(1, "root") + field(2, "time_embedding") + field(4, "Unsqueeze") + axes({1}));
    return model(body + field(2, "g") + field(11, tensor("timestep", {"batch"})) +
                 field(12, flat ? tensor("time_embedding", {"batch"}) : tensor("time_embedding", {"batch", "1"})));
}

// out_sample = sample * context + time_embedding, of one channel, for any batch and sides.
inline std::string unet() {
    const std::string unsqueezed = field(1, "time_embedding") + field(2, "time") + field(4, "Unsqueeze") + axes({2, 3});
    const std::string product = field(1, "sample") + field(1, "context") + field(2, "product") + field(4, "Mul");
    const std::string sum = field(1, "product") + field(1, "time") + field(2, "out_sample") + field(4, "Add");
    const std::vector<std::string> sample{"batch", "1", "height", "width"};
    const std::string body = field(1, unsqueezed) + field(1, product) + field(1, sum) + field(2, "g") +
                             field(11, tensor("sample", sample)) + field(11, tensor("time_embedding", {"batch", "1"})) +
                             field(11, tensor("context", {"batch", "1", "1", "1"})) +
                             field(12, tensor("out_sample", sample));
    return model(body);
}

struct File {
    std::filesystem::path path;

    explicit File(const std::string& bytes) {
        char place[] = "/tmp/aptp-graph-XXXXXX";
        std::fclose(fdopen(mkstemp(place), "w"));
        path = std::string(place) + ".onnx";  // by which OpenVINO knows what it is
        std::filesystem::rename(place, path);
        std::ofstream(path, std::ios::binary) << bytes;
    }
    ~File() { std::filesystem::remove(path); }
    File(const File&) = delete;
    File& operator=(const File&) = delete;
};

inline std::shared_ptr<const aptp::Conditioning> context(std::vector<float> values) {
    const aptp::Shape shape{static_cast<std::int64_t>(values.size()), 1, 1, 1};
    auto tensor = std::make_shared<aptp::Tensor>(aptp::Tensor{shape, std::move(values)});
    return std::make_shared<aptp::Conditioning>(aptp::Conditioning{{"context", tensor}});
}

// What a call is refused with: a failure of an engine.
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

inline bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace graphs
