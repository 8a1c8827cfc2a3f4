#include "models/experts.hpp"

#include <algorithm>

#include "engines/choice.hpp"
#include "engines/graphs.hpp"
#include "engines/precision.hpp"
#include "errors.hpp"

namespace aptp {

namespace {

const ExpertEntry& entry_of(const Manifest& manifest, const std::string& expert) {
    const auto found = manifest.experts.find(expert);
    if (found == manifest.experts.end()) {
        throw Failure(Status::code_unavailable, "the bundle holds no expert '" + expert + "'");
    }
    return found->second;
}

// The graph to serve in a precision. Eight bits have one of their own: who asks for them was checked, and who earned
// them has it.
const ModelEntry& served_in(const ExpertEntry& expert, const std::string& precision) {
    return precision == "int8" ? *expert.int8 : expert.model;
}

// Bytes of private memory that a parameter holds in an open graph; the bundle stores it in two. Measured on an expert
// of SD 2.1 with 407 M parameters, on Zen 3 and Zen 5.
struct Footprint {
    const char* engine;
    const char* precision;
    double bytes;
};
constexpr Footprint FOOTPRINTS[] = {{OPENVINO, "float32", 4.3}, {OPENVINO, "bfloat16", 2.4}};
constexpr double MAPPED = 4;  // float32 as the cache has it
constexpr double STORED = 2;

}  // namespace

Experts::Experts(const Manifest& manifest, Sessions& sessions, std::string engine, Place place,
                 std::optional<std::string> precision)
    : manifest_(manifest),
      sessions_(sessions),
      engine_(std::move(engine)),
      place_(std::move(place)),
      precision_(std::move(precision)),
      runs_graphs_(runs_graphs(engine_)) {
    for (const auto& [name, expert] : manifest.experts) {
        if (!runs_graphs_) compiled_[name] = fitting(expert, engine_);
    }
    if (engine_ != SUPERNET) return;
    for (const auto& [name, expert] : manifest.experts) {
        // Where there is a supernet, the manifest has every expert's gates.
        std::vector<float> kept = expert.gates->kept();
        const Shape shape{1, static_cast<std::int64_t>(kept.size())};
        gates_[name] = std::make_shared<Tensor>(Tensor{shape, std::move(kept)});
    }
}

std::string Experts::engine_of(const std::string& expert) const { return engine_ == SUPERNET ? SUPERNET : expert; }

Conditioning Experts::conditioning(const std::string& expert) const {
    const auto found = gates_.find(expert);
    return found == gates_.end() ? Conditioning{} : Conditioning{{"gates", found->second}};
}

std::unique_ptr<Engine> Experts::open(const ShapeBucket& bucket) const {
    return runs_graphs_ ? graph(bucket) : sessions_.open(compiled(bucket.model));
}

void Experts::check(const std::string& expert, std::int64_t rows, std::int64_t height, std::int64_t width) const {
    if (runs_graphs_) return;
    const CompiledEntry& entry = compiled(expert);
    const auto refuse_outside = [&](const char* axis, const Range& range, std::int64_t size) {
        if (range.takes(size)) return;
        throw Failure(Status::usage, "engine '" + engine_ + "' of expert '" + expert + "' takes a " + axis + " of " +
                                         std::to_string(range.least) + " to " + std::to_string(range.most) +
                                         " (of latents), not " + std::to_string(size) +
                                         "; ask for another size, or open the bundle with engine 'auto'");
    };
    refuse_outside("batch", entry.batch, rows);
    refuse_outside("height", entry.height, height);
    refuse_outside("width", entry.width, width);
}

std::int64_t Experts::fitting_batch(std::int64_t batch) const {
    if (runs_graphs_) return batch;
    for (const auto& [name, expert] : manifest_.experts) batch = std::min(batch, compiled(name).batch.most / 2);
    return std::max<std::int64_t>(1, batch);
}

std::int64_t Experts::cost(const ShapeBucket& bucket) const {
    if (!runs_graphs_) return manifest_.files.find(compiled(bucket.model).file)->second.size;
    const ExpertEntry& expert = entry_of(manifest_, bucket.model);
    const std::string precision = precision_of(expert, engine_, precision_);
    return memory_of(served_in(expert, precision), manifest_.files, engine_, precision);
}

ShapeBucket Experts::key(const std::string& expert, std::int64_t rows, std::int64_t height, std::int64_t width) const {
    if (runs_graphs_) return {expert, rows, height, width};
    return {engine_of(expert), 0, 0, 0};
}

std::unique_ptr<Engine> Experts::graph(const ShapeBucket& bucket) const {
    const ExpertEntry& expert = entry_of(manifest_, bucket.model);
    GraphSettings settings;
    settings.engine = engine_;
    settings.place = place_;
    settings.precision = precision_of(expert, engine_, precision_);
    settings.overrides = {{"height", bucket.height}, {"width", bucket.width}};
    if (bucket.rows != 0) settings.overrides["batch"] = bucket.rows;
    std::vector<std::string> inputs{"sample", "time_embedding"};
    for (const ConditioningEntry& entry : manifest_.conditioning) inputs.push_back(entry.input);
    return sessions_.open_unet(served_in(expert, settings.precision), settings, inputs);
}

const CompiledEntry& Experts::compiled(const std::string& expert) const {
    const auto found = expert == SUPERNET ? compiled_.begin() : compiled_.find(expert);
    if (found == compiled_.end() || found->second == nullptr) {  // the choice of the engine has seen one
        throw Failure(Status::engine, "expert '" + expert + "' has no engine '" + engine_ + "' for this machine");
    }
    return *found->second;
}

std::int64_t memory_of(const ModelEntry& model, const Table<FileEntry>& files, const std::string& engine,
                       const std::string& precision) {
    if (!model.weights) return files.find(model.graph)->second.size;
    const auto* found = std::find_if(std::begin(FOOTPRINTS), std::end(FOOTPRINTS), [&](const Footprint& each) {
        return each.engine == engine && each.precision == precision;
    });
    const double bytes = found == std::end(FOOTPRINTS) ? MAPPED : found->bytes;
    return static_cast<std::int64_t>(bytes / STORED * static_cast<double>(files.find(*model.weights)->second.size));
}

}  // namespace aptp
