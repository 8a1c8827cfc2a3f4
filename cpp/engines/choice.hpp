// Which engine serves a bundle here: the one that was asked for, or the best that this machine has.
//
// An engine runs the bundle's graphs, on OpenVINO or on an execution provider of ONNX Runtime, or it is a kind of
// compiled file, which the bundle has to hold for every expert: one file each, or one supernet for all.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "bundle/schema.hpp"
#include "engines/providers.hpp"
#include "log.hpp"
#include "machine/processor.hpp"

namespace aptp {

// The names of engines, `auto` first.
const std::vector<std::string>& engine_names();

// `name`, or for `auto` the best that can serve every expert of the bundle here. Throws Failure (usage) for an unknown
// name, Failure (environment) where it cannot be had. `processor` is the class of this one. The log says where `auto`
// has to do without OpenVINO, and why.
std::string choose(const std::string& name, const Manifest& manifest, const Place& place, const Log& log = {},
                   const std::string& processor = processor_class());

// Why an engine (not `auto`) cannot serve the bundle here, or nothing if it can. Any thread.
std::optional<std::string> missing_engine(const std::string& engine, const Manifest& manifest, const Place& place);

// The expert's compiled engine of `kind` that was made for this machine, if there is one.
const CompiledEntry* fitting(const ExpertEntry& expert, const std::string& kind);

// What runs the decoder beside experts on `engine`: an engine that runs graphs.
std::string beside(const std::string& engine, const Place& place);

}  // namespace aptp
