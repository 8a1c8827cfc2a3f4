// The clock: the time embedding of each of a schedule's rows, computed in float32 outside the network.
//
// Engines that round the product of timestep and frequency take sines of wrong angles (docs/BUNDLE.md, "The clock"). A
// solver's rows are one call, once per expert, so that a step looks its row up.
#pragma once

#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "bundle/schema.hpp"
#include "diffusion/schedule.hpp"
#include "engines/session.hpp"
#include "engines/tensor.hpp"
#include "models/sessions.hpp"

namespace aptp {

// The clocks of all experts, each opened when it is first needed. Remembers the last tables. Any thread.
class Clock {
public:
    // Both outlive this.
    Clock(const Table<ExpertEntry>& experts, Sessions& sessions) : experts_(experts), sessions_(sessions) {}

    // The time embeddings [rows, E] of these steps, by an expert that the bundle has. Throws Failure (integrity, cache,
    // engine).
    std::shared_ptr<const Tensor> operator()(const std::string& expert, const SolverSteps& steps);

private:
    struct Kept {
        std::string expert;
        std::vector<float> timesteps;
        std::shared_ptr<const Tensor> embeddings;
    };

    std::shared_ptr<const Tensor> compute(const std::string& expert, const std::vector<float>& timesteps);

    const Table<ExpertEntry>& experts_;
    Sessions& sessions_;
    std::mutex mutex_;  // over what follows
    std::map<std::string, std::unique_ptr<Session>> graphs_;
    std::list<Kept> kept_;  // latest first
};

}  // namespace aptp
