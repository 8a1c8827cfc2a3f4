// What made an image, as text that goes with it.
#pragma once

#include <string>

#include "service/generated.hpp"

namespace aptp::api {

// What made an image as JSON: the fields of the Python runtime, in its order, and with sorted keys for a PNG. In ASCII
// alone, because text chunks of PNG are Latin-1.
std::string description(const Generated& generated);
std::string sorted_description(const Generated& generated);

}  // namespace aptp::api
