// Which engine serves a bundle here: the one that was asked for, or the best that this machine has.
//
// An engine is an execution provider of ONNX Runtime, which runs the portable graphs, or a kind of compiled file, which
// the bundle has to hold for every expert: one file each, or one supernet for all.
#pragma once

#include <optional>
#include <string>

#include "bundle/schema.hpp"
#include "engines/providers.hpp"

namespace aptp {

// The execution provider of an engine that runs graphs, or nothing for a compiled one.
std::optional<std::string> provider_of(const std::string& engine);

// `name`, or for `auto` the best that can serve every expert of the bundle here. Throws Failure (usage) for an unknown
// name, Failure (environment) where it cannot be had. `plugin` is the path of a provider plugin, or empty.
std::string choose(const std::string& name, const Manifest& manifest, const std::string& plugin);

// The expert's compiled engine of `kind` that was made for this machine, if there is one.
const CompiledEntry* fitting(const ExpertEntry& expert, const std::string& kind);

// The execution provider for the graphs besides the experts, such as the decoder.
Provider provider_beside(const std::string& engine, const std::string& plugin);

}  // namespace aptp
