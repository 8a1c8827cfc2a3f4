#include "aptp.h"
#include "errors.hpp"

// APTP_VERSION comes from the build.
const char* aptp_version(void) { return APTP_VERSION; }

uint32_t aptp_abi(void) { return APTP_ABI; }

const char* aptp_status_name(aptp_status status) {
    switch (status) {
        case APTP_PENDING:
            return "pending";
        case APTP_OK:
            return "ok";
        case APTP_FAILURE:
            return "failure";
        case APTP_USAGE_ERROR:
            return "usage error";
        case APTP_NOT_A_BUNDLE:
            return "not a bundle";
        case APTP_MANIFEST_ERROR:
            return "manifest error";
        case APTP_INTEGRITY_ERROR:
            return "integrity error";
        case APTP_ENVIRONMENT_MISMATCH:
            return "environment mismatch";
        case APTP_CODE_UNAVAILABLE:
            return "code unavailable";
        case APTP_QUEUE_FULL:
            return "queue full";
        case APTP_DEADLINE_EXCEEDED:
            return "deadline exceeded";
        case APTP_CANCELLED:
            return "cancelled";
        case APTP_CLOSED:
            return "closed";
        case APTP_CACHE_FAILURE:
            return "cache failure";
        case APTP_OUTPUT_FAILURE:
            return "output failure";
        case APTP_ENGINE_FAILURE:
            return "engine failure";
        case APTP_UNAVAILABLE:
            return "unavailable";
        case APTP_FORKED:
            return "forked";
    }
    return "unknown";
}

namespace aptp {

// A Status goes to C as its number.
static_assert(static_cast<int>(Status::ok) == APTP_OK && static_cast<int>(Status::failure) == APTP_FAILURE);
static_assert(static_cast<int>(Status::usage) == APTP_USAGE_ERROR);
static_assert(static_cast<int>(Status::not_a_bundle) == APTP_NOT_A_BUNDLE);
static_assert(static_cast<int>(Status::manifest) == APTP_MANIFEST_ERROR);
static_assert(static_cast<int>(Status::integrity) == APTP_INTEGRITY_ERROR);
static_assert(static_cast<int>(Status::environment) == APTP_ENVIRONMENT_MISMATCH);
static_assert(static_cast<int>(Status::code_unavailable) == APTP_CODE_UNAVAILABLE);
static_assert(static_cast<int>(Status::queue_full) == APTP_QUEUE_FULL);
static_assert(static_cast<int>(Status::deadline_exceeded) == APTP_DEADLINE_EXCEEDED);
static_assert(static_cast<int>(Status::cancelled) == APTP_CANCELLED);
static_assert(static_cast<int>(Status::closed) == APTP_CLOSED);
static_assert(static_cast<int>(Status::cache) == APTP_CACHE_FAILURE);
static_assert(static_cast<int>(Status::output) == APTP_OUTPUT_FAILURE);
static_assert(static_cast<int>(Status::engine) == APTP_ENGINE_FAILURE);
static_assert(static_cast<int>(Status::unavailable) == APTP_UNAVAILABLE);
static_assert(static_cast<int>(Status::forked) == APTP_FORKED);

}  // namespace aptp
