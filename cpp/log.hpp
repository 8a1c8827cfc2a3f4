// Where lines go that nobody waits for.
#pragma once

#include <functional>
#include <string>

namespace aptp {

// Hears of failures that the runtime survived, and of what an engine says. From any thread; must not throw.
using Log = std::function<void(const std::string& message, bool is_error)>;

}  // namespace aptp
