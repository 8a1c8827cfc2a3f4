#include "bundle/references.hpp"

#include <numeric>
#include <set>

#include "bundle/compiled.hpp"
#include "files/verified.hpp"
#include "bundle/manifest.hpp"
#include "errors.hpp"

namespace aptp {
namespace {

constexpr std::size_t COMPARED = 1000;  // the most names that one is compared with, to guess what was meant

Failure refusal(const std::string& message) { return {Status::manifest, "manifest." + message}; }

template <typename Value>
std::vector<std::string> names_of(const Table<Value>& table) {
    std::vector<std::string> names;
    for (const auto& [name, value] : table) names.push_back(name);
    return names;
}

void refuse_unknown(const std::string& name, const std::vector<std::string>& known, const std::string& where,
                    const char* kind) {
    const std::string hint = known.size() <= COMPARED ? nearest(name, known) : "";
    throw refusal(where + ": names the " + kind + " " + repr(name) + ", which is not there" + hint);
}

template <typename Value>
void check_known(const std::string& name, const Table<Value>& known, const std::string& where, const char* kind) {
    if (known.find(name) == known.end()) refuse_unknown(name, names_of(known), where, kind);
}

void check_files(const Manifest& manifest) {
    for (const auto& [path, entry] : manifest.files) {
        check_path(path, "manifest.files");
        if (path == MANIFEST || path == SIGNATURE) throw refusal("files: must not list " + path);
    }
}

void check_model(const ModelEntry& model, const Table<FileEntry>& files, const std::string& where) {
    for (const std::string& path : model.paths()) check_known(path, files, where, "file");
    if (model.serve && files.find(*model.weights)->second.size % 2 != 0) {
        throw refusal(where + ": " + *model.weights + " has an odd size, and float16 has two bytes");
    }
}

void check_encoders(const Manifest& manifest) {
    Table<bool> names;
    for (const EncoderEntry& encoder : manifest.encoders) {
        const std::string where = "encoders " + repr(encoder.name);
        names[encoder.name] = true;
        check_model(encoder.model, manifest.files, where);
        check_known(encoder.tokenizer.file, manifest.files, where, "file");
        check_known(encoder.tokenizer.characters, manifest.files, where, "file");
    }
    std::set<std::string> inputs;
    for (const ConditioningEntry& entry : manifest.conditioning) {
        check_known(entry.encoder, names, "conditioning", "encoder");
        if (!inputs.insert(entry.input).second) throw refusal("conditioning: an input is fed twice");
    }
    check_known(manifest.router.encoder, names, "router", "encoder");
}

void check_preview(const Manifest& manifest) {
    if (!manifest.decoder.preview) return;
    const auto width = static_cast<std::size_t>(manifest.latent.channels) + 1;
    bool fits = manifest.decoder.preview->size() == 3;
    for (const auto& row : *manifest.decoder.preview) fits = fits && row.size() == width;
    if (!fits) throw refusal("decoder.preview: must be 3 rows of " + std::to_string(width) + " numbers");
}

void check_experts(const Manifest& manifest) {
    if (manifest.experts.empty()) throw refusal("experts: must name at least one expert");
    Table<bool> codes{{DENSE, true}};
    for (std::int64_t code = 0; code < manifest.router.codes; ++code) codes[std::to_string(code)] = true;
    for (const auto& [name, expert] : manifest.experts) {
        if (codes.find(name) == codes.end()) {
            throw refusal("experts: " + repr(name) + " is not " + repr(DENSE) + " nor a code of " +
                          std::to_string(manifest.router.codes));
        }
        const std::string where = "experts " + repr(name);
        check_model(expert.model, manifest.files, where);
        check_model(expert.clock, manifest.files, where + ".clock");
        if (expert.int8) check_model(*expert.int8, manifest.files, where + ".int8");
        compiled::check(expert, manifest.files, "manifest." + where);
    }
    compiled::check_supernets(manifest.experts);
    const auto dense = manifest.experts.find(DENSE);
    if (dense != manifest.experts.end() && dense->second.macs != manifest.dense_macs) {
        throw refusal("dense_macs: is not what the expert 'dense' takes");
    }
    const RouterEntry& router = manifest.router;
    if (router.out_of_distribution) {
        check_known(router.out_of_distribution->expert, codes, "router.out_of_distribution", "expert");
    }
    if (router.fallback) check_known(*router.fallback, manifest.experts, "router", "expert");
}

void check_schedules(const Manifest& manifest) {
    for (const auto& [name, schedule] : manifest.schedules) {
        const std::string where = "schedules " + repr(name);
        check_known(schedule.table, manifest.files, where, "file");
        const auto rows = std::accumulate(schedule.rows.begin(), schedule.rows.end(), std::int64_t{0});
        const std::int64_t size = 4 * (4 + 2 * schedule.window) * rows;
        if (manifest.files.find(schedule.table)->second.size != size) {
            throw refusal(where + ": " + schedule.table + " must have " + std::to_string(size) + " bytes");
        }
    }
    const Defaults& defaults = manifest.defaults;
    check_known(defaults.solver, manifest.schedules, "defaults", "solver");
    const std::vector<std::int64_t>& rows = manifest.schedules.find(defaults.solver)->second.rows;
    const auto steps = static_cast<std::size_t>(defaults.steps);
    if (steps > rows.size() || rows[steps - 1] == 0) {
        throw refusal("defaults: " + repr(defaults.solver) + " does not offer " + std::to_string(steps) + " steps");
    }
}

}  // namespace

void check_references(const Manifest& manifest) {
    check_files(manifest);
    check_model(manifest.router.model, manifest.files, "router");
    check_model(manifest.decoder.model, manifest.files, "decoder");
    check_encoders(manifest);
    check_preview(manifest);
    check_experts(manifest);
    check_schedules(manifest);
}

}  // namespace aptp
