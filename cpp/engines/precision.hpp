// What an expert's graph is computed in: float32, or less where that has been shown to be good enough.
//
// Less is earned expert by expert, engine by engine and on a class of processor (docs/BUNDLE.md, `earned`): another
// computes the same graph by other instructions, and errs otherwise. Eight bits may be asked for by name before anybody
// has judged them; nothing else takes them.
#pragma once

#include <optional>
#include <string>

#include "bundle/schema.hpp"
#include "log.hpp"
#include "machine/processor.hpp"

namespace aptp {

// Refuse a precision by name that an expert of the bundle cannot be served in on an engine (not `auto`), on a class of
// `processor`. Without a name the log says which experts compute in more than they would have to; with
// `int8`, which of them nobody has judged. Throws Failure (usage) for an unknown name, Failure (environment).
void check_precision(const std::optional<std::string>& asked, const std::string& engine, const Manifest& manifest,
                     const Log& log = {}, const std::string& processor = processor_class());

// What the expert's graph is computed in: what was `asked`, which was checked, or the least that it has earned.
std::string precision_of(const ExpertEntry& expert, const std::string& engine, const std::optional<std::string>& asked,
                         const std::string& processor = processor_class());

}  // namespace aptp
