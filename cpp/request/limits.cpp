#include "request/limits.hpp"

#include "errors.hpp"

namespace aptp {

void check_limit(std::int64_t value, const std::string& name) {
    if (value >= 1) return;
    throw Failure(Status::usage, name + " " + std::to_string(value) + ": give an integer of at least 1");
}

}  // namespace aptp
