// Names and what they stand for, in the order of the names.
#pragma once

#include <functional>
#include <map>
#include <string>

namespace aptp {

template <typename Value>
using Table = std::map<std::string, Value, std::less<>>;

}  // namespace aptp
