// A child of a process that uses the library is refused by name, and ends.
#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

#include "../../fakes/models.hpp"
#include "api/handles.hpp"
#include "aptp.h"

namespace {

constexpr unsigned LIMIT = 60;  // seconds after which a child that hangs is killed

std::shared_ptr<aptp::Models> opener(const std::string&, const aptp::ModelsOptions&) {
    return std::make_shared<fakes::FakeModels>();
}

bool is_refused(aptp_status status) {
    return status == APTP_FORKED && std::string(aptp_error()).find("forked") != std::string::npos;
}

// What a child may be wrong about, as bits of its exit code.
int wrongs(aptp_runtime* runtime, aptp_request* request) {
    aptp_request* another = nullptr;
    aptp_runtime* second = nullptr;
    aptp_runtime_status status = APTP_RUNTIME_STATUS_INIT;
    int wrong = 0;
    if (!is_refused(aptp_submit(runtime, "fives", nullptr, &another))) wrong |= 1;
    if (!is_refused(aptp_wait(request, APTP_FOREVER)) || !is_refused(aptp_poll(request, nullptr))) wrong |= 2;
    if (!is_refused(aptp_drain(runtime, APTP_FOREVER)) || !is_refused(aptp_get_status(runtime, &status))) wrong |= 4;
    if (!is_refused(aptp::api::open("here", nullptr, &second, opener)) || second != nullptr) wrong |= 8;
    if (!is_refused(aptp_free_engines(runtime)) || !is_refused(aptp_reload(runtime, nullptr))) wrong |= 16;
    aptp_release(request);
    if (aptp_close(runtime) != APTP_OK || aptp_close(runtime) != APTP_OK) wrong |= 32;
    if (aptp_abi() != APTP_ABI) wrong |= 64;
    return wrong;
}

}  // namespace

TEST_CASE("a forked child is refused at once, and lets go without waiting") {
    aptp_runtime* runtime = nullptr;
    REQUIRE(aptp::api::open("here", nullptr, &runtime, opener) == APTP_OK);
    aptp_request* request = nullptr;
    REQUIRE(aptp_submit(runtime, "fives", nullptr, &request) == APTP_OK);
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        alarm(LIMIT);
        _exit(wrongs(runtime, request));
    }
    int ended = 0;
    REQUIRE(waitpid(child, &ended, 0) == child);
    REQUIRE(WIFEXITED(ended));
    CHECK(WEXITSTATUS(ended) == 0);
    CHECK(aptp_wait(request, APTP_FOREVER) == APTP_OK);  // the parent goes on
    aptp_release(request);
    CHECK(aptp_close(runtime) == APTP_OK);
}
