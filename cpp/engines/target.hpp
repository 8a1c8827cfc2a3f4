// Whether this machine is the one that a compiled engine was made for.
#pragma once

#include <optional>
#include <string>

#include "bundle/schema.hpp"

namespace aptp {

// What of the entry's target this machine (and this build) is not, in words, or nothing if it is all of it. Any thread.
std::optional<std::string> mismatch(const CompiledEntry& entry);

// What this machine is, by the names that targets use: those that it has.
Table<std::string> facts(const std::string& device);

}  // namespace aptp
