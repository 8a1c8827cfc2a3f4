#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "files/sha256.hpp"
#include "models/cache.hpp"

namespace fs = std::filesystem;

namespace {

// The files and folders that are synced, and the names that are given, in turn: this program's own.
std::vector<std::string> events;

std::string place_of(int descriptor) { return fs::read_symlink("/proc/self/fd/" + std::to_string(descriptor)); }

}  // namespace

extern "C" __attribute__((visibility("default"))) int fsync(int descriptor) {
    events.push_back("sync " + place_of(descriptor));
    return 0;
}

extern "C" __attribute__((visibility("default"))) int rename(const char* from, const char* to) noexcept {
    events.push_back(std::string("rename ") + to);
    return ::renameat(AT_FDCWD, from, AT_FDCWD, to);
}

TEST_CASE("an entry's bytes are on the disk before it has its name, and the name after it") {
    std::string name = (fs::temp_directory_path() / "aptp-cache-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    const fs::path folder = fs::canonical(name);
    aptp::Manifest manifest;
    for (const auto& [path, bytes] : {std::pair{"serve.onnx", "graph"}, std::pair{"model.onnx.data", "\x01\x3c"}}) {
        std::ofstream(folder / path, std::ios::binary) << bytes;
        manifest.files[path] = {static_cast<std::int64_t>(std::string(bytes).size()), aptp::sha256(bytes)};
    }
    const aptp::Bundle bundle(folder, manifest, "");
    aptp::ModelEntry model;
    model.serve = "serve.onnx";
    model.weights = "model.onnx.data";
    aptp::Cache cache({(folder / "cache").string(), false, {}});

    events.clear();
    const std::string entry = cache.serving_graph(bundle, model).parent_path().string();
    const std::vector<std::string> heard = events;
    const auto named = std::find(heard.begin(), heard.end(), "rename " + entry);
    REQUIRE(named != heard.end());
    for (const char* file : {"", "/serve.onnx", "/serve.onnx.data"}) {
        CAPTURE(file);
        CHECK(std::find(heard.begin(), named, "sync " + entry + ".partial" + file) != named);
    }
    CHECK(std::find(named, heard.end(), "sync " + fs::path(entry).parent_path().string()) != heard.end());
    fs::remove_all(folder);
}
