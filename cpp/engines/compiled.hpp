// Engines that a compiler made for one kind of machine, as far as this build can open them.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "bundle/schema.hpp"
#include "engines/engine.hpp"

namespace aptp {

// The kinds of compiled engines: "aoti", "tensorrt" and "supernet".
bool is_compiled_kind(const std::string& kind);

// Why this build opens no engine of a kind, or nothing if it does.
std::optional<std::string> missing_kind(const std::string& kind);

// The versions of what this build opens engines with, by the names that targets use.
Table<std::string> compiled_versions();

// Load the engine at `path`, whose bytes were checked. Throws Failure (environment, engine).
std::unique_ptr<Engine> open_compiled(const std::filesystem::path& path, const CompiledEntry& entry,
                                      std::optional<std::int64_t> threads);

}  // namespace aptp
