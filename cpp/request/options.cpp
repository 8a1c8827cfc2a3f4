#include "request/options.hpp"

#include <array>
#include <cmath>
#include <cstdio>
#include <string>

#include "errors.hpp"

namespace aptp {

void RequestOptions::check() const {
    if (priority < -1 || priority > 1) {
        throw Failure(Status::usage, "priority " + std::to_string(priority) + ": give -1, 0 or 1");
    }
    if (deadline && (!std::isfinite(*deadline) || *deadline <= 0)) {
        std::array<char, 96> text{};
        std::snprintf(text.data(), text.size(), "deadline %g: give a number of seconds above 0", *deadline);
        throw Failure(Status::usage, text.data());
    }
    if (previews < 0) {
        throw Failure(Status::usage, "previews " + std::to_string(previews) + ": give an integer of at least 0");
    }
}

}  // namespace aptp
