// What made an image, as text that goes with it.
#pragma once

#include <string>

#include "service/generated.hpp"

namespace aptp::api {

// The parameters and the choice of an image as JSON with sorted keys: those that the Python runtime writes.
std::string describe(const Generated& generated);

}  // namespace aptp::api
