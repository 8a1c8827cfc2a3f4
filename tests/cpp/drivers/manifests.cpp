// room: bundle
// Reads manifests and bundles: on each line of the input the path of a `.json` that is a manifest, or of what may be a
// bundle; on each line of the output what was found in it, or {"error": …, "message": …}.
#include <fstream>
#include <iostream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "bundle/reader.hpp"
#include "bundle/manifest.hpp"
#include "errors.hpp"

namespace {

using nlohmann::json;

json model(const aptp::ModelEntry& entry) { return {entry.paths(), entry.identity}; }

json expert(const aptp::ExpertEntry& entry) {
    json compiled = json::array();
    for (const aptp::CompiledEntry& one : entry.compiled) {
        compiled.push_back({one.kind, one.file, one.precision, one.batch.usual, one.height.least, one.width.most,
                            one.target, one.identity});
    }
    json earned = json::array();
    for (const aptp::Earned& one : entry.earned) {
        json rung = json::array();
        for (const aptp::ImageComparison& shown : one.rung) {
            rung.push_back({shown.metric, shown.images, shown.difference, shown.low, shown.high, shown.bar});
        }
        earned.push_back({one.engine, one.precision, one.processor, rung});
    }
    const std::vector<float> kept = entry.gates ? entry.gates->kept() : std::vector<float>();
    const json int8 = entry.int8 ? model(*entry.int8) : json::array();
    return {model(entry.model), model(entry.clock), entry.parameters, entry.macs, earned, compiled, kept, int8};
}

json everything(const aptp::Manifest& found) {
    json result{
        {"version", found.version},
        {"producer", found.producer},
        {"source", {found.source.name, found.source.checkpoint, found.source.trained}},
        {"defaults", {found.defaults.solver, found.defaults.steps, found.defaults.guidance}},
        {"latent",
         {found.latent.channels, found.latent.height, found.latent.width, found.latent.multiple, found.latent.minimum,
          found.latent.maximum}},
        {"router",
         {found.router.kind, found.router.encoder, model(found.router.model), found.router.codes, found.router.tie,
          found.router.fallback.value_or("")}},
        {"decoder",
         {model(found.decoder.model), found.decoder.scale, found.decoder.scaling_factor, found.decoder.shift_factor}},
        {"dense_macs", found.dense_macs}};
    if (found.router.out_of_distribution) {
        result["out_of_distribution"] = {found.router.out_of_distribution->threshold, found.router.out_of_distribution->expert};
    }
    if (found.decoder.preview) result["preview"] = *found.decoder.preview;
    for (const aptp::EncoderEntry& one : found.encoders) {
        const aptp::TokenizerEntry& frame = one.tokenizer;
        result["encoders"].push_back({one.name, model(one.model), one.inputs, one.output, frame.file, frame.characters,
                                      frame.length, frame.bos, frame.eos, frame.pad});
    }
    for (const auto& one : found.conditioning) result["conditioning"].push_back({one.input, one.encoder});
    for (const auto& [name, one] : found.experts) result["experts"][name] = expert(one);
    for (const auto& [name, one] : found.schedules) {
        result["schedules"][name] = {one.table, one.window, one.rows, one.noise_scale};
    }
    for (const auto& [path, one] : found.files) result["files"][path] = {one.size, one.sha256};
    return result;
}

json answer(const std::string& path) {
    try {
        if (std::filesystem::path(path).extension() != ".json") {
            const auto bundle = aptp::Bundle::open(path);
            bundle->files().verify();
            return everything(bundle->manifest());
        }
        std::ifstream file(path, std::ios::binary);
        const std::string data{std::istreambuf_iterator<char>(file), {}};
        return everything(aptp::parse_manifest(data));
    } catch (const aptp::Failure& failure) {
        return {{"error", aptp::name_of(failure.status())}, {"message", failure.what()}};
    }
}

}  // namespace

int main() {
    for (std::string line; std::getline(std::cin, line);) {
        std::cout << answer(line).dump(-1, ' ', true, json::error_handler_t::replace) << '\n';
    }
}
