// An opened bundle: its manifest, and its files, each checked before anyone parses it.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "files/verified.hpp"
#include "bundle/schema.hpp"

namespace aptp {

// A bundle folder whose manifest has been checked and parsed. Opening reads no other file. Any thread may use it.
class Bundle {
public:
    // Open the bundle at `path`. Throws Failure (not_a_bundle, manifest, integrity).
    static std::shared_ptr<const Bundle> open(const std::filesystem::path& path);

    Bundle(std::filesystem::path root, Manifest manifest, std::string digest);

    const std::filesystem::path& root() const noexcept { return files_.root(); }
    const Manifest& manifest() const noexcept { return manifest_; }

    // The manifest's SHA-256 in hexadecimal: which version of a bundle this is.
    const std::string& digest() const noexcept { return digest_; }

    // All listed files; what it hands out was checked.
    const VerifiedFiles& files() const noexcept { return files_; }

    // The places of a model's files, graph first, each checked. Throws Failure (integrity).
    std::vector<std::filesystem::path> model(const ModelEntry& model) const;

private:
    Manifest manifest_;
    std::string digest_;
    VerifiedFiles files_;
};

}  // namespace aptp
