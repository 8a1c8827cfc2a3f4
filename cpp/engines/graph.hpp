// A graph of the bundle that was opened, whatever runs it.
#pragma once

#include <exception>
#include <filesystem>
#include <string>
#include <vector>

#include "engines/tensor.hpp"
#include "errors.hpp"

namespace aptp {

inline constexpr const char* OUT_SAMPLE = "out_sample";  // what a UNet gives

// An input of a run, not owned: `floats` or `integers` in C order.
struct Feed {
    std::string name;
    Shape shape;
    const float* floats = nullptr;
    const std::int64_t* integers = nullptr;
};

// An opened graph, and the names of its tensors. One call at a time, where nothing else is said.
class Graph {
public:
    Graph(const std::filesystem::path& path, std::vector<std::string> inputs, std::vector<std::string> outputs)
        : path_(path.string()), inputs_(std::move(inputs)), outputs_(std::move(outputs)) {}
    virtual ~Graph() = default;

    Graph(const Graph&) = delete;
    Graph& operator=(const Graph&) = delete;

    // Refuse a graph with other inputs than these, or without `output`. Throws Failure (engine).
    void require(std::vector<std::string> inputs, const std::string& output) const;

    // Several float32 `outputs` of one run. Throws Failure (engine).
    virtual std::vector<Tensor> run(const std::vector<std::string>& outputs, const std::vector<Feed>& feeds) = 0;

    // What to throw for what went wrong in a run.
    Failure failed(const std::exception& error) const;

private:
    const std::string path_;
    const std::vector<std::string> inputs_;
    const std::vector<std::string> outputs_;
};

}  // namespace aptp
