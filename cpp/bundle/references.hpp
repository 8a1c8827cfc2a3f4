// What the parts of a manifest say of each other: every name has to be there, and every size has to fit.
#pragma once

#include "bundle/schema.hpp"

namespace aptp {

// Refuse references to what is not there. Throws Failure (manifest).
void check_references(const Manifest& manifest);

}  // namespace aptp
