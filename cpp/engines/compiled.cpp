#include "engines/compiled.hpp"

#include "errors.hpp"
#ifdef APTP_WITH_AOTI
#include "engines/aoti.hpp"
#endif
#ifdef APTP_WITH_TENSORRT
#include "engines/tensorrt.hpp"
#endif

namespace aptp {

bool is_compiled_kind(const std::string& kind) { return kind == "aoti" || kind == "tensorrt" || kind == SUPERNET; }

std::optional<std::string> missing_kind([[maybe_unused]] const std::string& kind) {
#ifndef APTP_WITH_AOTI
    if (kind == "aoti" || kind == SUPERNET) return "this build opens no packages of PyTorch (APTP_WITH_AOTI is off)";
#endif
#ifndef APTP_WITH_TENSORRT
    if (kind == "tensorrt") return "this build opens no plans of TensorRT (APTP_WITH_TENSORRT is off)";
#endif
    return std::nullopt;
}

Table<std::string> compiled_versions() {
    Table<std::string> found;
#ifdef APTP_WITH_AOTI
    found["torch"] = aoti::version();
#endif
#ifdef APTP_WITH_TENSORRT
    found["tensorrt"] = tensorrt::version();
#endif
    return found;
}

std::unique_ptr<Engine> open_compiled([[maybe_unused]] const std::filesystem::path& path, const CompiledEntry& entry,
                                      [[maybe_unused]] std::optional<std::int64_t> threads) {
    if (const auto reason = missing_kind(entry.kind)) {
        throw Failure(Status::environment, "engine '" + entry.kind + "' cannot be used: " + *reason);
    }
#ifdef APTP_WITH_AOTI
    if (entry.kind == "aoti" || entry.kind == SUPERNET) return aoti::open_package(path, entry, threads);
#endif
#ifdef APTP_WITH_TENSORRT
    if (entry.kind == "tensorrt") return tensorrt::open_plan(path);
#endif
    throw Failure(Status::engine, path.string() + ": is an engine of no known kind");
}

}  // namespace aptp
