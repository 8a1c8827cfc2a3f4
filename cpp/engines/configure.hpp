// How a session's options say which provider runs it.
#pragma once

#include "engines/environment.hpp"
#include "engines/providers.hpp"

namespace aptp {

// Prepare session `options` for `provider`, in float32. Throws Failure (environment), Ort::Exception.
void configure(Ort::SessionOptions& options, const Provider& provider);

}  // namespace aptp
