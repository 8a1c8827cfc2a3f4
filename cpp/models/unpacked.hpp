// Weights that were unpacked from float16 to float32, and their check against the digest of the float16 ones.
//
// Nothing that lies beside them is believed: what a manifest lists says what they are.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>

#include "files/verified.hpp"

namespace aptp {

inline constexpr const char* GRAPH = "serve.onnx";
inline constexpr const char* DATA = "serve.onnx.data";

// A graph and its float32 weights below a folder, whose float16 values are those of `weights`.
class UnpackedFiles : public VerifiedFiles {
public:
    UnpackedFiles(std::filesystem::path root, const FileEntry& graph, const FileEntry& weights, std::string remedy);

private:
    // Throws Failure (integrity) for a weight that no float16 value is.
    std::string digest(const std::string& path, const Descriptor& file) const override;
};

// `count` little-endian float16 values as float32, which holds each of them exactly.
void widen(const char* halves, std::size_t count, float* out);

// What `widen` was given; false where it was not given anything.
bool narrow(const float* floats, std::size_t count, char* out);

}  // namespace aptp
