// The experts of a bundle as engines: a graph on OpenVINO or an execution provider, or a compiled file.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bundle/schema.hpp"
#include "engines/engine.hpp"
#include "engines/shape_bucket.hpp"
#include "models/sessions.hpp"

namespace aptp {

// Opens engines of the kind `engine` (not `auto`). Each expert has its own, but for the supernet: one engine for all,
// known by that name, whose rows follow the gates that come with them. Any thread.
class Experts {
public:
    // `manifest` and `sessions` outlive this; `place` is where graphs run; `precision` is what
    // graphs are computed in, nothing for the least that each expert has earned.
    Experts(const Manifest& manifest, Sessions& sessions, std::string engine, Place place,
            std::optional<std::string> precision);

    std::string engine_of(const std::string& expert) const;

    // What a call for the expert gets besides its prompt: for the supernet its `gates` [1, G].
    Conditioning conditioning(const std::string& expert) const;

    // The engine for a bucket. Throws Failure (integrity, cache, environment, engine).
    std::unique_ptr<Engine> open(const ShapeBucket& bucket) const;

    // Refuse a call that the expert's engine does not take. Throws Failure (usage).
    void check(const std::string& expert, std::int64_t rows, std::int64_t height, std::int64_t width) const;

    // As many of `batch` requests as fit into one call: guidance makes two rows of each.
    std::int64_t fitting_batch(std::int64_t batch) const;

    // Bytes that the engine's weights are expected to hold.
    std::int64_t cost(const ShapeBucket& bucket) const;

    // What an engine for the call is specialised to: a compiled one serves all that its profile takes.
    ShapeBucket key(const std::string& expert, std::int64_t rows, std::int64_t height, std::int64_t width) const;

private:
    std::unique_ptr<Engine> graph(const ShapeBucket& bucket) const;
    const CompiledEntry& compiled(const std::string& expert) const;

    const Manifest& manifest_;
    Sessions& sessions_;
    std::string engine_;
    Place place_;
    std::optional<std::string> precision_;
    bool runs_graphs_;
    // By expert, empty where graphs are run: the service asks for them under its lock.
    std::map<std::string, const CompiledEntry*> compiled_;
    std::map<std::string, std::shared_ptr<const Tensor>> gates_;  // of the supernet alone
};

// Bytes that a graph's weights hold when it is open on an engine that runs graphs.
std::int64_t memory_of(const ModelEntry& model, const Table<FileEntry>& files, const std::string& engine,
                       const std::string& precision);

}  // namespace aptp
