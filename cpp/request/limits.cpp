#include "request/limits.hpp"

#include "errors.hpp"

namespace aptp {

void check_limit(std::int64_t value, const std::string& name) {
    if (value >= 1) return;
    throw Failure(Status::usage, name + " " + std::to_string(value) + ": give an integer of at least 1");
}

void check_threads(std::int64_t value) {
    check_limit(value, "threads");
    if (value <= THREADS) return;
    throw Failure(Status::usage,
                  "threads " + std::to_string(value) + ": give an integer from 1 to " + std::to_string(THREADS));
}

}  // namespace aptp
