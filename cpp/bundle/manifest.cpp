#include "bundle/manifest.hpp"

#include <algorithm>
#include <array>
#include <set>

#include "bundle/compiled.hpp"
#include "bundle/references.hpp"
#include "files/strict_json.hpp"
#include "files/verified.hpp"
#include "numbers.hpp"

namespace aptp {
namespace {

constexpr const char* INT8 = "int8";
constexpr std::int64_t CHANNELS = 64;
constexpr std::int64_t SIDE = 4096;
constexpr std::int64_t LENGTH = 4096;
constexpr std::int64_t CODES = 1024;
constexpr std::int64_t ROWS = 10'000;
constexpr std::int64_t WINDOW = 4;
constexpr std::int64_t SCALE = 64;

// What the format keeps for later; the release that fills one of these takes it out of the table.
const std::vector<Reserved>& reserved() {
    static const std::vector<Reserved> table{
        {"kind=network", "this release reads bundles of kind 'pipeline'"},
        {"choices", "this release serves none; build the bundle without"},
        {"router.bins", "this release routes by the prompt alone; build the bundle without"},
        {"conditioning.*.output", "this release feeds an encoder's one output; build the bundle without"},
        {"conditioning.*.request", "this release feeds encoders' outputs only; build the bundle without"},
    };
    return table;
}

// A number of one to four digits without a leading zero, or -1.
int version_number(const std::string& text) {
    const bool is_number = !text.empty() && text.size() <= 4 &&
                           text.find_first_not_of("0123456789") == std::string::npos &&
                           (text.size() == 1 || text[0] != '0');
    return is_number ? static_cast<int>(*read_integer(text)) : -1;
}

// The minor version. Refuses another major.
int parse_version(const std::string& version) {
    const std::size_t dot = version.find('.');
    const int major = version_number(version.substr(0, dot));
    const int minor = dot == std::string::npos ? -1 : version_number(version.substr(dot + 1));
    if (major < 0 || minor < 0) {
        throw Failure(Status::manifest, "manifest.version: " + repr(version) + " is not major.minor");
    }
    if (major != FORMAT_MAJOR) {
        throw Failure(Status::manifest, "manifest.version: this bundle is version " + version +
                                            ", and this reader knows " + std::to_string(FORMAT_MAJOR) +
                                            ".x; update aptp, or build the bundle again with the version you have");
    }
    return minor;
}

BundleSource parse_source(Fields fields) {
    BundleSource source{fields.text("name"), fields.digest("checkpoint"), fields.flag("trained")};
    fields.close();
    return source;
}

Defaults parse_defaults(Fields fields) {
    Defaults defaults{fields.text("solver"), fields.integer("steps", 1, ROWS), fields.number("guidance")};
    if (!(defaults.guidance >= 0 && defaults.guidance <= GUIDANCE)) {
        throw fields.error("guidance", in_digits(defaults.guidance) + " is outside 0 to " + in_digits(GUIDANCE));
    }
    fields.close();
    return defaults;
}

Latent parse_latent(Fields fields) {
    Latent latent;
    latent.channels = fields.integer("channels", 1, CHANNELS);
    latent.height = fields.integer("height", 1, SIDE);
    latent.width = fields.integer("width", 1, SIDE);
    latent.multiple = fields.integer("multiple", 1, SIDE);
    latent.minimum = fields.integer("minimum", 1, SIDE);
    latent.maximum = fields.integer("maximum", 1, SIDE);
    for (const auto& [name, value] : {std::pair{"height", latent.height}, std::pair{"width", latent.width}}) {
        if (value % latent.multiple != 0 || value < latent.minimum || value > latent.maximum) {
            throw fields.error(name,
                               std::to_string(value) + " breaks the rules that multiple, minimum and maximum set");
        }
    }
    fields.close();
    return latent;
}

std::string parse_path(Fields& fields, const std::string& name) {
    return check_path(fields.text(name), fields.where + "." + name);
}

std::optional<std::string> parse_optional_path(Fields& fields, const std::string& name) {
    if (!fields.has(name)) return std::nullopt;
    return parse_path(fields, name);
}

std::string folder_of(const std::string& path) {
    const std::size_t slash = path.rfind('/');
    return slash == std::string::npos ? "" : path.substr(0, slash);
}

ModelEntry parse_model(Fields fields) {
    ModelEntry model;
    model.graph = parse_path(fields, "graph");
    model.identity = fields.digest("identity");
    model.weights = parse_optional_path(fields, "weights");
    model.serve = parse_optional_path(fields, "serve");
    if (model.weights && folder_of(*model.weights) != folder_of(model.graph)) {
        throw fields.error("weights", "must lie in the same folder as the graph");
    }
    if (model.serve && !model.weights) throw fields.error("serve", "needs weights");
    const std::vector<std::string> paths = model.paths();
    if (std::set<std::string>(paths.begin(), paths.end()).size() < paths.size()) {
        throw Failure(Status::manifest, fields.where + ": names one file twice; graph, weights and serve must differ");
    }
    fields.close();
    return model;
}

TokenizerEntry parse_tokenizer(Fields fields) {
    TokenizerEntry tokenizer;
    tokenizer.file = parse_path(fields, "file");
    tokenizer.characters = parse_path(fields, "characters");
    tokenizer.length = fields.integer("length", 2, LENGTH);
    tokenizer.bos = fields.integer("bos");
    tokenizer.eos = fields.integer("eos");
    tokenizer.pad = fields.integer("pad");
    fields.close();
    return tokenizer;
}

std::string parse_input(const Json& value, const std::string& where) {
    static const std::vector<std::string> inputs{"input_ids", "attention_mask"};
    std::string name = as_text(value, where);
    if (std::find(inputs.begin(), inputs.end(), name) == inputs.end()) {
        throw Failure(Status::manifest, where + ": " + repr(name) + " is not an encoder input" + nearest(name, inputs));
    }
    return name;
}

EncoderEntry parse_encoder(Fields& fields) {
    EncoderEntry encoder;
    encoder.name = fields.text("name");
    encoder.model = parse_model(fields.fields("model"));
    encoder.inputs = fields.items("inputs", parse_input);
    encoder.output = fields.text("output");
    encoder.tokenizer = parse_tokenizer(fields.fields("tokenizer"));
    if (std::set<std::string>(encoder.inputs.begin(), encoder.inputs.end()).size() < encoder.inputs.size()) {
        throw fields.error("inputs", "names an input twice");
    }
    fields.close();
    return encoder;
}

std::vector<EncoderEntry> parse_encoders(Fields& top) {
    std::vector<EncoderEntry> encoders = top.objects("encoders", parse_encoder);
    std::set<std::string> names;
    for (const EncoderEntry& encoder : encoders) {
        if (!names.insert(encoder.name).second) {
            throw Failure(Status::manifest, "manifest.encoders: two encoders have the same name");
        }
    }
    return encoders;
}

ConditioningEntry parse_conditioning(Fields& fields) {
    ConditioningEntry entry{fields.text("input"), fields.text("encoder")};
    if (entry.input == "sample" || entry.input == "timestep" || entry.input == "time_embedding") {
        throw fields.error("input", repr(entry.input) + " is not a conditioning input");
    }
    fields.close();
    return entry;
}

OutOfDistribution parse_out_of_distribution(Fields fields) {
    OutOfDistribution rule{fields.number("threshold"), fields.text("expert")};
    if (rule.threshold <= 0) throw fields.error("threshold", "must be above 0");
    fields.close();
    return rule;
}

RouterEntry parse_router(Fields fields) {
    RouterEntry router;
    router.kind = fields.text("kind", {"cosine"});
    router.encoder = fields.text("encoder");
    router.model = parse_model(fields.fields("model"));
    router.codes = fields.integer("codes", 1, CODES);
    router.tie = fields.number("tie");
    if (fields.has("fallback")) router.fallback = fields.text("fallback");
    if (fields.has("out_of_distribution")) {
        router.out_of_distribution = parse_out_of_distribution(fields.fields("out_of_distribution"));
    }
    if (router.tie < 0) throw fields.error("tie", "must not be negative");
    fields.close();
    return router;
}

std::vector<double> parse_colour(const Json& value, const std::string& where) {
    if (!value.is_array()) throw Failure(Status::manifest, where + ": must be a list of numbers");
    std::vector<double> row;
    for (const Json& item : value) row.push_back(as_number(item, where + "[" + std::to_string(row.size()) + "]"));
    return row;
}

DecoderEntry parse_decoder(Fields fields) {
    DecoderEntry decoder;
    decoder.model = parse_model(fields.fields("model"));
    decoder.scale = fields.integer("scale", 1, SCALE);
    decoder.scaling_factor = fields.number("scaling_factor");
    decoder.shift_factor = fields.number("shift_factor");
    if (fields.has("preview")) decoder.preview = fields.items("preview", parse_colour);
    if (decoder.scaling_factor == 0) throw fields.error("scaling_factor", "must not be zero");
    fields.close();
    return decoder;
}

ImageComparison parse_comparison(Fields& fields) {
    ImageComparison found;
    found.metric = fields.text("metric");
    found.images = fields.integer("images", 1);
    found.difference = fields.number("difference");
    found.low = fields.number("low");
    found.high = fields.number("high");
    found.bar = fields.number("bar");
    if (!(found.low <= found.difference && found.difference <= found.high)) {
        throw fields.error("difference", "must lie within low and high");
    }
    if (!(found.low > found.bar)) throw fields.error("low", "must be above bar");
    fields.close();
    return found;
}

Earned parse_earned(Fields& fields) {
    Earned earned;
    earned.precision = fields.text("precision", {"bfloat16", "float16", INT8});
    earned.engine = fields.text("engine");
    earned.processor = fields.text("processor");
    if (earned.precision == INT8) earned.rung = fields.objects("rung", parse_comparison);
    if (!is_printable(earned.processor)) {
        throw fields.error("processor", "must be printable ASCII");
    }
    fields.close();
    return earned;
}

// Refuse twins, and eight bits of an expert that has no `int8` or of another engine.
void check_earned(const ExpertEntry& expert, const Fields& fields) {
    if (std::set<Earned>(expert.earned.begin(), expert.earned.end()).size() < expert.earned.size()) {
        throw fields.error("earned", "names one engine, precision and processor twice");
    }
    for (const Earned& entry : expert.earned) {
        if (entry.precision == INT8 && !(expert.int8 && entry.engine == "openvino")) {
            throw fields.error("earned", "int8 is for engine 'openvino' and an expert with int8");
        }
    }
}

ExpertEntry parse_expert(Fields& fields) {
    ExpertEntry expert;
    expert.model = parse_model(fields.fields("model"));
    expert.clock = parse_model(fields.fields("clock"));
    expert.parameters = fields.integer("parameters");
    expert.macs = fields.integer("macs");
    if (fields.has("earned")) expert.earned = fields.objects("earned", parse_earned);
    if (fields.has("compiled")) expert.compiled = fields.objects("compiled", compiled::parse);
    if (fields.has("gates")) {
        Fields gates = fields.fields("gates");
        expert.gates = compiled::parse_gates(gates);
    }
    if (fields.has("int8")) expert.int8 = parse_model(fields.fields("int8"));
    if (!expert.model.serve) throw fields.error("model.serve", "is missing; experts are served by it");
    if (expert.int8 && (expert.int8->serve || !expert.int8->weights)) {
        throw fields.error("int8", "must have graph, weights and identity, and no serve");
    }
    check_earned(expert, fields);
    fields.close();
    return expert;
}

ScheduleEntry parse_schedule(Fields& fields) {
    ScheduleEntry schedule;
    schedule.table = parse_path(fields, "table");
    schedule.window = fields.integer("window", 1, WINDOW);
    schedule.rows = fields.items(
        "rows", [](const Json& item, const std::string& where) { return as_integer(item, where, 0, ROWS); });
    schedule.noise_scale = fields.items("noise_scale", as_number);
    if (schedule.rows.size() != schedule.noise_scale.size()) {
        throw fields.error("noise_scale", "has " + std::to_string(schedule.noise_scale.size()) +
                                              " items, and rows has " + std::to_string(schedule.rows.size()));
    }
    fields.close();
    return schedule;
}

FileEntry parse_entry(Fields& fields) {
    FileEntry entry{fields.integer("size"), fields.digest("sha256")};
    fields.close();
    return entry;
}

}  // namespace

Manifest parse_manifest(std::string_view data) {
    const Json value = decode(data, MANIFEST);
    Fields top(value, "manifest");
    top.text("format", {"aptp-bundle"});
    Manifest manifest;
    manifest.version = top.text("version");
    top.lenient = parse_version(manifest.version) > FORMAT_MINOR;
    refuse_reserved(value, "manifest", reserved());
    top.text("kind", {"pipeline"});
    manifest.producer = top.texts("producer");
    manifest.source = parse_source(top.fields("source"));
    manifest.defaults = parse_defaults(top.fields("defaults"));
    manifest.latent = parse_latent(top.fields("latent"));
    manifest.encoders = parse_encoders(top);
    manifest.conditioning = top.objects("conditioning", parse_conditioning);
    manifest.router = parse_router(top.fields("router"));
    manifest.decoder = parse_decoder(top.fields("decoder"));
    manifest.dense_macs = top.integer("dense_macs", 1);
    manifest.experts = top.table("experts", parse_expert);
    manifest.schedules = top.table("schedules", parse_schedule);
    manifest.files = top.table("files", parse_entry);
    top.close();
    check_references(manifest);
    return manifest;
}

}  // namespace aptp
