// The parser of the manifest (docs/BUNDLE.md, version 3.0).
#pragma once

#include <string_view>

#include "bundle/schema.hpp"

namespace aptp {

inline constexpr int FORMAT_MAJOR = 3;
inline constexpr int FORMAT_MINOR = 0;
inline constexpr const char* MANIFEST = "manifest.json";
inline constexpr const char* SIGNATURE = "manifest.sha256";

// The manifest in `data`. Throws Failure (manifest), and nothing else, whatever the bytes.
Manifest parse_manifest(std::string_view data);

}  // namespace aptp
