// The router's graph, on the CPU provider in float32 whatever serves the UNet.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "bundle/schema.hpp"
#include "engines/session.hpp"
#include "models/encoder.hpp"
#include "models/router_output.hpp"
#include "models/sessions.hpp"

namespace aptp {

// Routes prompts that were encoded. Any thread.
class Router {
public:
    // Throws Failure (integrity, cache, engine).
    Router(RouterEntry entry, Sessions& sessions);

    // Throws Failure (engine) for outputs that are no numbers.
    RouterOutput operator()(const Encoding& encoding) const;

private:
    RouterEntry entry_;
    std::unique_ptr<Session> session_;
    std::vector<std::string> outputs_;
};

}  // namespace aptp
