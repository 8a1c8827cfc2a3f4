// What an entry of the cache is made of, and how it is written.
#pragma once

#include <cstddef>
#include <filesystem>

#include "bundle/reader.hpp"

namespace aptp::entry {

inline constexpr const char* GRAPH = "serve.onnx";
inline constexpr const char* DATA = "serve.onnx.data";
inline constexpr const char* RECORD = "record.json";

// Build the entry `folder` beside itself and rename it into place; the caller holds its lock. Throws Failure
// (integrity), std::system_error.
void build(const Bundle& bundle, const ModelEntry& model, const std::filesystem::path& folder);

// `count` little-endian float16 values as float32, which holds each of them exactly.
void widen(const char* halves, std::size_t count, float* out);

}  // namespace aptp::entry
