// Graphs on ONNX Runtime: opening sessions and running them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engines/engine.hpp"
#include "engines/graph.hpp"
#include "engines/providers.hpp"
#include "engines/tensor.hpp"
#include "log.hpp"

namespace aptp {

// How a session is opened. `overrides` pins named dimensions; `threads` are those of one call; `log` hears what ONNX
// Runtime says of it, which else goes to standard error.
struct SessionSettings {
    Provider provider;
    std::map<std::string, std::int64_t> overrides;
    std::optional<std::int64_t> threads;
    std::shared_ptr<const Log> log;
};

// A graph in a session, in float32. Any thread may run it.
class Session final : public Graph {
public:
    // Throws Failure (engine).
    Session(const std::filesystem::path& graph, const SessionSettings& settings);
    ~Session() override;

    std::vector<Tensor> run(const std::vector<std::string>& outputs, const std::vector<Feed>& feeds) override;

private:
    friend class SessionEngine;
    struct State;
    static std::unique_ptr<State> open(const std::filesystem::path& graph, const SessionSettings& settings);
    Session(std::unique_ptr<State> state, const std::filesystem::path& graph);

    std::unique_ptr<State> state_;
};

// An expert's UNet in one session. Conditioning is bound once for as long as it is the same: a GPU then has its copy.
// Latents cross the bus at every step, for their schedule is computed on the CPU in every language alike.
class SessionEngine final : public Engine {
public:
    explicit SessionEngine(std::unique_ptr<Session> session);
    ~SessionEngine() override;
    void run(const EngineCall& call) override;

private:
    struct Bound;
    std::unique_ptr<Session> session_;
    std::unique_ptr<Bound> bound_;
    std::shared_ptr<const Conditioning> kept_;
};

}  // namespace aptp
