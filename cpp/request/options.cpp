#include "request/options.hpp"

#include <cmath>
#include <string>

#include "errors.hpp"
#include "numbers.hpp"
#include "request/defaults.hpp"

namespace aptp {

RequestOptions RequestOptions::of(const aptp_request_options& asked) {
    if ((asked.wants & ~(APTP_WANT_STEPS | APTP_WANT_LATENTS)) != 0) {
        throw Failure(Status::usage, "wants " + std::to_string(asked.wants) + ": give a sum of APTP_WANT_...");
    }
    RequestOptions options;
    options.priority = asked.priority;
    options.deadline = or_unset(asked.deadline);
    options.every_step = (asked.wants & APTP_WANT_STEPS) != 0;
    options.previews = asked.previews;
    options.latents = (asked.wants & APTP_WANT_LATENTS) != 0;
    return options;
}

void RequestOptions::check() const {
    if (priority < -1 || priority > 1) {
        throw Failure(Status::usage, "priority " + std::to_string(priority) + ": give -1, 0 or 1");
    }
    if (deadline && (!std::isfinite(*deadline) || *deadline <= 0)) {
        throw Failure(Status::usage, "deadline " + in_digits(*deadline) + ": give a number of seconds above 0");
    }
    if (previews < 0) {
        throw Failure(Status::usage, "previews " + std::to_string(previews) + ": give an integer of at least 0");
    }
}

}  // namespace aptp
