// The manifest as plain values (docs/BUNDLE.md); manifest.hpp parses them. Sides are latents unless named pixels.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "files/table.hpp"
#include "files/verified.hpp"

namespace aptp {

inline constexpr const char* DENSE = "dense";        // the expert that nothing was pruned from
inline constexpr double GUIDANCE = 1000.0;           // the most that a request may ask for
inline constexpr const char* SUPERNET = "supernet";  // the kind of engine that is every expert

// Where the weights come from; `trained` is false for random ones.
struct BundleSource {
    std::string name;
    std::string checkpoint;
    bool trained = false;
};

// What a request gets that does not say otherwise.
struct Defaults {
    std::string solver;
    std::int64_t steps = 0;
    double guidance = 0;
};

// Latent geometry; sides are multiples of `multiple`, from `minimum` to `maximum`.
struct Latent {
    std::int64_t channels = 0;
    std::int64_t height = 0;
    std::int64_t width = 0;
    std::int64_t multiple = 0;
    std::int64_t minimum = 0;
    std::int64_t maximum = 0;
};

// Paths of a graph, of its float16 weights, and of the same graph for float32 weights.
struct ModelEntry {
    std::string graph;
    std::string identity;
    std::optional<std::string> weights;
    std::optional<std::string> serve;

    // Every file the model is made of, graph first.
    std::vector<std::string> paths() const;
};

// The sizes of an axis that an engine takes; it is fastest at `usual`.
struct Range {
    std::int64_t least = 0;
    std::int64_t usual = 0;
    std::int64_t most = 0;

    bool takes(std::int64_t size) const { return least <= size && size <= most; }
};

// A code as the supernet takes it: `count` gates, four to a hexadecimal digit, highest bit first.
struct SupernetGates {
    std::int64_t count = 0;
    std::string bits;

    // 1 or 0 for each gate.
    std::vector<float> kept() const;
};

// A model compiled for one `target`, such as {"device": "cuda", "architecture": "sm90"}.
struct CompiledEntry {
    std::string kind;  // "aoti", "tensorrt" or "supernet"
    std::string file;
    std::string precision;  // "float32", "bfloat16" or "float16"
    Range batch;            // rows of a call
    Range height;           // of latents
    Range width;
    Table<std::string> target;
    std::string identity;
};

// A tokenizer file and the frame its ids are put into, `length` tokens long. `characters` is the file of the Unicode
// tables.
struct TokenizerEntry {
    std::string file;
    std::string characters;
    std::int64_t length = 0;
    std::int64_t bos = 0;
    std::int64_t eos = 0;
    std::int64_t pad = 0;
};

// A prompt encoder; `inputs` are the tensors it takes, `output` the one that is used.
struct EncoderEntry {
    std::string name;
    ModelEntry model;
    std::vector<std::string> inputs;
    std::string output;
    TokenizerEntry tokenizer;
};

// A UNet input, and the encoder whose output it gets.
struct ConditioningEntry {
    std::string input;
    std::string encoder;
};

// Prompts whose distance from those of the training is above `threshold` go to `expert`.
struct OutOfDistribution {
    double threshold = 0;
    std::string expert;
};

// Similarities of a prompt to `codes` codes; `fallback` names the expert for a code without one.
struct RouterEntry {
    std::string kind;
    std::string encoder;
    ModelEntry model;
    std::int64_t codes = 0;
    double tie = 0;
    std::optional<std::string> fallback;
    std::optional<OutOfDistribution> out_of_distribution;
};

// Latents to images, `scale` pixels per latent. `preview` holds a row for red, green and blue each: what they take of
// every channel of a latent, and what is added.
struct DecoderEntry {
    ModelEntry model;
    std::int64_t scale = 0;
    double scaling_factor = 0;
    double shift_factor = 0;
    std::optional<std::vector<std::vector<double>>> preview;
};

// What images showed by a metric: the mean paired difference from float32, and the ends of its 95 % interval, of which
// `low` lies above `bar`.
struct ImageComparison {
    std::string metric;
    std::int64_t images = 0;
    double difference = 0;
    double low = 0;
    double high = 0;
    double bar = 0;
};

// A precision below float32 that an expert has earned on an engine and on processors of a class: its error is no larger
// than it may be or, where it has a `rung`, its images are good enough. Entries are equal whatever their rung.
struct Earned {
    std::string engine;
    std::string precision;  // "bfloat16", "float16" or "int8"
    std::string processor;  // such as "avx512_bf16"
    std::vector<ImageComparison> rung{};

    friend bool operator==(const Earned& a, const Earned& b) { return a.tied() == b.tied(); }
    friend bool operator<(const Earned& a, const Earned& b) { return a.tied() < b.tied(); }

private:
    std::tuple<const std::string&, const std::string&, const std::string&> tied() const {
        return {engine, precision, processor};
    }
};

// One UNet: `parameters`, and `macs` of one call at the default size, batch 1. `clock` makes the time embedding that
// `model.serve` takes; `gates` is the code under which the supernet is this expert; `int8` is the expert in eight bits,
// an OpenVINO IR with the inputs of `model.serve`.
struct ExpertEntry {
    ModelEntry model;
    ModelEntry clock;
    std::int64_t parameters = 0;
    std::int64_t macs = 0;
    std::vector<Earned> earned;
    std::vector<CompiledEntry> compiled;
    std::optional<SupernetGates> gates;
    std::optional<ModelEntry> int8;
};

// A solver's table; `rows[n - 1]` rows for n steps, 0 where n is not offered.
struct ScheduleEntry {
    std::string table;
    std::int64_t window = 0;
    std::vector<std::int64_t> rows;
    std::vector<double> noise_scale;
};

// A whole manifest, every reference in it resolved. Immutable once parsed: any thread may read it.
struct Manifest {
    std::string version;
    Table<std::string> producer;
    BundleSource source;
    Defaults defaults;
    Latent latent;
    std::vector<EncoderEntry> encoders;  // in the manifest's order, no two of one name
    std::vector<ConditioningEntry> conditioning;
    RouterEntry router;
    DecoderEntry decoder;
    std::int64_t dense_macs = 0;
    Table<ExpertEntry> experts;
    Table<ScheduleEntry> schedules;
    Table<FileEntry> files;

    // The encoder of this name, which the manifest is known to have.
    const EncoderEntry& encoder(const std::string& name) const;

    // What an expert's call costs of one of the dense UNet, in multiply-accumulates.
    double share(const std::string& expert) const;
};

}  // namespace aptp
