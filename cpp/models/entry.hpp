// How an entry of the cache is written.
#pragma once

#include <filesystem>

#include "bundle/reader.hpp"

namespace aptp::entry {

// Build the entry `folder` beside itself and rename it into place, for its group to read where it is `shared`; the
// caller holds its lock. Throws Failure (integrity), std::system_error.
void build(const Bundle& bundle, const ModelEntry& model, const std::filesystem::path& folder, bool shared);

}  // namespace aptp::entry
