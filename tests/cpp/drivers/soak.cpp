// room: api
// Requests by the thousand with cancels, deadlines, failures and reloads, on a bundle that is made up. Prints as JSON
// what became of them, and the memory of the process after a quarter of them and in the end.
//
//     soak REQUESTS
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "../fakes/models.hpp"
#include "api/handles.hpp"
#include "aptp.h"

namespace {

constexpr int THREADS = 4;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool SANITIZED = true;  // memory that is given back is kept for a while: its size tells nothing
#else
constexpr bool SANITIZED = false;
#endif

std::atomic<int> calls = 0;
std::atomic<int> versions = 0;  // alive

// Counts itself, and fails now and then.
std::shared_ptr<aptp::Models> opener(const std::string&, const aptp::ModelsOptions&) {
    ++versions;
    auto* models = new fakes::FakeModels(4, [](const std::string& what) {
        if (what.rfind("call", 0) == 0 && ++calls % 500 == 0) throw aptp::Failure(aptp::Status::engine, "now and then");
    });
    return {models, [](fakes::FakeModels* gone) {
                --versions;
                delete gone;
            }};
}

// Kilobytes in memory.
long resident() {
    std::ifstream file("/proc/self/statm");
    long pages = 0;
    file >> pages >> pages;
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

void expect(bool right, const char* what) {
    if (right) return;
    std::fprintf(stderr, "soak: %s: %s\n", what, aptp_error());
    std::abort();
}

// One request: by chance with a deadline, a callback, a cancel, or nobody who waits for it. How it ended.
aptp_status use(aptp_runtime* runtime, std::mt19937& random) {
    std::atomic<int> ends = 0;
    aptp_request_options options = APTP_REQUEST_OPTIONS_INIT;
    options.seed = random();
    options.steps = 2 + random() % 9;
    options.priority = static_cast<std::int32_t>(random() % 3) - 1;
    if (random() % 8 == 0) options.deadline = 1e-4 * static_cast<double>(1 + random() % 20);
    options.wants = APTP_WANT_STEPS;
    options.user = &ends;
    options.on_event = [](void* user, const aptp_event* event) {
        if (event->kind == APTP_EVENT_ENDED) ++*static_cast<std::atomic<int>*>(user);
    };
    const std::string prompt(random() % 40, 'x');
    aptp_request* request = nullptr;
    const aptp_status admitted = aptp_submit(runtime, prompt.c_str(), &options, &request);
    if (admitted != APTP_OK) return admitted;
    if (random() % 3 == 0) expect(aptp_cancel(request) == APTP_OK, "cancelling");
    if (random() % 8 == 0) {  // nobody waits for it
        aptp_release(request);
        expect(ends == 1, "an end that was not told once");
        return APTP_PENDING;
    }
    const aptp_status status = aptp_wait(request, APTP_FOREVER);
    aptp_image image = APTP_IMAGE_INIT;
    expect(aptp_result(request, &image) == status, "a result");
    aptp_release(request);
    expect(ends == 1, "an end that was not told once");
    return status;
}

}  // namespace

int main(int count, char** arguments) {
    const int requests = count > 1 ? std::atoi(arguments[1]) : 10'000;
    aptp_open_options options = APTP_OPEN_OPTIONS_INIT;
    options.memory = 30;  // three engines of two experts, dense and the decoder
    aptp_runtime* runtime = nullptr;
    expect(aptp::api::open("here", &options, &runtime, opener) == APTP_OK, "opening");
    std::atomic<int> left = requests;
    std::atomic<long> early = 0;
    std::map<std::string, std::atomic<int>> ends;
    for (int status = APTP_PENDING; status <= APTP_ENGINE_FAILURE; ++status) {
        ends[aptp_status_name(static_cast<aptp_status>(status))] = 0;
    }
    std::vector<std::thread> threads;
    for (unsigned seed = 0; seed < THREADS; ++seed) {
        threads.emplace_back([&, seed] {
            std::mt19937 random(seed);
            for (int number = left--; number > 0; number = left--) {
                if (number == requests * 3 / 4) early = resident();
                if (number % 1000 == 0) expect(aptp_reload(runtime, nullptr) == APTP_OK, "reloading");
                ++ends.at(aptp_status_name(use(runtime, random)));
            }
        });
    }
    for (auto& thread : threads) thread.join();
    expect(aptp_drain(runtime, APTP_FOREVER) == APTP_OK, "draining");
    aptp_runtime_status status = APTP_RUNTIME_STATUS_INIT;
    expect(aptp_get_status(runtime, &status) == APTP_OK, "the status");
    const long late = resident();
    expect(aptp_close(runtime) == APTP_OK, "closing");
    nlohmann::json told = {{"admitted", status.admitted}, {"finished", status.finished},
                           {"failed", status.failed},     {"cancelled", status.cancelled},
                           {"expired", status.expired},   {"rejected", status.rejected},
                           {"early", early.load()},       {"late", late},
                           {"versions", versions.load()}, {"sanitized", SANITIZED}};
    for (const auto& [name, number] : ends) told["ends"][name] = number.load();
    std::cout << told.dump() << std::endl;
}
