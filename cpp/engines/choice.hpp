// Which engine serves a bundle here: the one that was asked for, or the best that this machine has.
//
// An engine runs the bundle's graphs, on OpenVINO or on an execution provider of ONNX Runtime, or it is a kind of
// compiled file, which the bundle has to hold for every expert: one file each, or one supernet for all.
#pragma once

#include <string>

#include "bundle/schema.hpp"
#include "machine/processor.hpp"

namespace aptp {

// `name`, or for `auto` the best that can serve every expert of the bundle here. Throws Failure (usage) for an unknown
// name, Failure (environment) where it cannot be had. `plugin` is the path of a provider plugin, or empty; `processor`
// the class of this one.
std::string choose(const std::string& name, const Manifest& manifest, const std::string& plugin,
                   const std::string& processor = processor_class());

// The expert's compiled engine of `kind` that was made for this machine, if there is one.
const CompiledEntry* fitting(const ExpertEntry& expert, const std::string& kind);

// What runs the decoder beside experts on `engine`: an engine that runs graphs.
std::string beside(const std::string& engine, const std::string& plugin);

}  // namespace aptp
