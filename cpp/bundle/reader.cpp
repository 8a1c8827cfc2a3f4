#include "bundle/reader.hpp"

#include <algorithm>
#include <system_error>

#include "files/strict_json.hpp"
#include "bundle/manifest.hpp"
#include "files/sha256.hpp"
#include "errors.hpp"

namespace aptp {
namespace {

constexpr const char* BUILD = "`python -m export.build --codes all --out DIR` builds one";
constexpr const char* REMEDY = "the bundle is damaged or was changed: build or copy it again";
constexpr std::size_t SIGNATURE_BYTES = 256;

std::vector<std::string> names_in(const std::filesystem::path& folder) {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
        names.push_back(entry.path().filename().string());
    }
    return names;
}

bool holds(const std::vector<std::string>& names, const char* name) {
    return std::find(names.begin(), names.end(), name) != names.end();
}

std::string kind_of(const std::vector<std::string>& names) {
    if (holds(names, "model_index.json")) {
        return "a diffusers pipeline or a checkpoint, not a bundle; "
               "`python -m export.build --codes all --checkpoint DIR --out DIR` builds one";
    }
    return std::string("not a bundle; ") + BUILD;
}

std::string small_file(const std::filesystem::path& root, const char* name, std::size_t limit) {
    const std::string where = root.string() + "/" + name;
    std::string data = read_up_to(open_beneath(root, name, REMEDY), limit + 1, where);
    if (data.size() > limit) throw Failure(Status::manifest, where + ": more than " + std::to_string(limit) + " bytes");
    return data;
}

std::string check_signature(const std::filesystem::path& root, const std::string& data) {
    const std::string line = small_file(root, SIGNATURE, SIGNATURE_BYTES);
    const std::string place = root.string() + "/";
    const bool is_line = line.size() > 64 && line.substr(64) == std::string("  ") + MANIFEST + "\n" &&
                         line.find_first_not_of("0123456789abcdef") == 64;
    if (!is_line) {
        throw Failure(Status::integrity, place + SIGNATURE + ": is not a line `<64 hex>  " + MANIFEST + "`; " + REMEDY);
    }
    std::string digest = sha256(data);
    if (digest != line.substr(0, 64)) {
        throw Failure(Status::integrity,
                      place + MANIFEST + ": SHA-256 " + digest + " is not what " + SIGNATURE + " says; " + REMEDY);
    }
    return digest;
}

}  // namespace

std::shared_ptr<const Bundle> Bundle::open(const std::filesystem::path& path) {
    std::filesystem::path root;
    std::vector<std::string> names;
    try {
        // Resolved once: a link to a bundle may be repointed while this process goes on reading the old one.
        root = std::filesystem::canonical(path);
        names = names_in(root);
    } catch (const std::filesystem::filesystem_error& error) {
        throw Failure(Status::not_a_bundle,
                      path.string() + ": cannot be opened as a folder: " + error.code().message() + "; " + BUILD);
    }
    if (!holds(names, MANIFEST)) {
        throw Failure(Status::not_a_bundle, path.string() + ": has no " + MANIFEST + ", so it is " + kind_of(names));
    }
    const std::string data = small_file(root, MANIFEST, DOCUMENT_BYTES);
    std::string digest = check_signature(root, data);
    return std::make_shared<const Bundle>(root, parse_manifest(data), std::move(digest));
}

Bundle::Bundle(std::filesystem::path root, Manifest manifest, std::string digest)
    : manifest_(std::move(manifest)), digest_(std::move(digest)), files_(std::move(root), manifest_.files, REMEDY) {}

std::vector<std::filesystem::path> Bundle::model(const ModelEntry& model) const {
    std::vector<std::filesystem::path> places;
    for (const std::string& path : model.paths()) places.push_back(files_.file(path));
    return places;
}

}  // namespace aptp
