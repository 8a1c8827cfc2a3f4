#include "api/guard.hpp"

#include <cstdio>

namespace aptp::api {

namespace {

// The latest failure of a thread. Not a std::string: keeping a failure must not need memory that there is not.
struct Latest {
    char message[2048] = "";
    double retry_after = 0;
};

thread_local Latest latest;

}  // namespace

aptp_status fail(aptp_status status, const std::string& message, double retry_after) noexcept {
    std::snprintf(latest.message, sizeof latest.message, "%s", message.c_str());
    latest.retry_after = retry_after;
    return status;
}

}  // namespace aptp::api

const char* aptp_error(void) { return aptp::api::latest.message; }

double aptp_retry_after(void) { return aptp::api::latest.retry_after; }
