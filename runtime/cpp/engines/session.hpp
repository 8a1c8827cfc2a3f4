// Graphs on ONNX Runtime: opening sessions and running them.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engines/engine.hpp"
#include "engines/providers.hpp"
#include "engines/tensor.hpp"

namespace aptp {

// An input of a run, not owned: `floats` or `integers` in C order.
struct Feed {
    std::string name;
    Shape shape;
    const float* floats = nullptr;
    const std::int64_t* integers = nullptr;
};

// How a session is opened. `overrides` pins named dimensions; `fast` allows the provider's best precision, else it is
// float32; `threads` are those of one call.
struct SessionSettings {
    Provider provider;
    std::map<std::string, std::int64_t> overrides;
    bool fast = false;
    std::optional<std::int64_t> threads;
};

// An open graph. Any thread may run it.
class Session {
public:
    // Throws Failure (engine).
    Session(const std::filesystem::path& graph, const SessionSettings& settings);
    ~Session();

    // Refuse a graph with other inputs than these, or without `output`. Throws Failure (engine).
    void require(std::vector<std::string> inputs, const std::string& output) const;

    // Several float32 `outputs` of one run. Throws Failure (engine).
    std::vector<Tensor> run(const std::vector<std::string>& outputs, const std::vector<Feed>& feeds) const;

private:
    friend class GraphEngine;
    struct State;
    std::unique_ptr<State> state_;
};

// An expert's UNet in one session. Conditioning is bound once for as long as it is the same: a GPU then has its copy.
// Latents cross the bus at every step, for their schedule is computed on the CPU in every language alike.
class GraphEngine : public Engine {
public:
    explicit GraphEngine(std::unique_ptr<Session> session);
    ~GraphEngine() override;
    void run(const EngineCall& call) override;

private:
    struct Bound;
    std::unique_ptr<Session> session_;
    std::unique_ptr<Bound> bound_;
    std::shared_ptr<const Conditioning> kept_;
};

}  // namespace aptp
