#include "engines/environment.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <utility>

#include "engines/graphs.hpp"
#include "errors.hpp"
#include "machine/threads.hpp"

namespace aptp {

namespace {

// One call runs at a time, so one arena of activations is enough; one per session would hold one for every expert.
void share_arena(Ort::Env& env) {
    const auto place = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
    constexpr int as_requested = 1;
    const Ort::ArenaCfg arena(0, as_requested, -1, -1);
    try {
        env.CreateAndRegisterAllocator(place, arena);
    } catch (const Ort::Exception&) {
        // The program around us has one already, and it serves as well.
    }
}

// The threads that sessions share.
struct Sharing {
    std::mutex mutex;
    bool is_settled = false;  // at the latest when the environment is made
    bool is_forgone = false;
    std::optional<std::int64_t> threads;
    bool spins = false;
};

Sharing& sharing() {
    static auto* const shared = new Sharing;
    return *shared;
}

Ort::ThreadingOptions shared_threads() {
    Sharing& shared = sharing();
    const std::lock_guard lock(shared.mutex);
    shared.is_settled = true;
    Ort::ThreadingOptions threads;
    threads.SetGlobalIntraOpNumThreads(static_cast<int>(shared.threads.value_or(default_threads())));
    threads.SetGlobalInterOpNumThreads(1);
    threads.SetGlobalSpinControl(shared.spins ? 1 : 0);
    return threads;
}

// At the end of a process ONNX Runtime destroys what its threads wait on, and in a forked child waits for ever for
// those who waited there. So a child that comes to that ends here. What was registered after the environment has run by
// then.
void end_children_early() {
    static const pid_t creator = getpid();
    on_exit(
        [](int status, void*) {
            if (getpid() == creator) return;
            std::fflush(nullptr);
            _exit(status);
        },
        nullptr);
}

Ort::Env* create() {
    check_version();
    // Never destroyed: at the end of a process nobody knows which sessions and plugins are still there.
    auto* env = new Ort::Env(shared_threads(), ORT_LOGGING_LEVEL_ERROR, "aptp");
    share_arena(*env);
    end_children_early();
    return env;
}

}  // namespace

Ort::Env& environment() {
    static Ort::Env* const env = create();
    return *env;
}

void check_version() {
    if (OrtGetApiBase()->GetApi(ORT_API_VERSION) == nullptr) {
        throw Failure(Status::environment, std::string("the library of ONNX Runtime that was loaded is version ") +
                                               OrtGetApiBase()->GetVersionString() + ", and this was built for 1." +
                                               std::to_string(ORT_API_VERSION) + "; load that or a newer one");
    }
}

std::int64_t default_threads() { return call_threads(allowed_processors()); }

void share_threads(std::optional<std::int64_t> threads, bool spins) {
    Sharing& shared = sharing();
    const std::lock_guard lock(shared.mutex);
    if (std::exchange(shared.is_settled, true)) return;
    shared.threads = threads;
    shared.spins = spins;
}

bool shares_threads(std::optional<std::int64_t> threads) {
    const std::lock_guard lock(sharing().mutex);
    return !sharing().is_forgone && sharing().threads == threads;
}

void forgo_sharing() {
    const std::lock_guard lock(sharing().mutex);
    sharing().is_forgone = true;
}

std::vector<Ort::ConstEpDevice> plugin_devices(const std::string& path) {
    static std::mutex mutex;
    static auto* const loaded = new std::map<std::string, std::vector<Ort::ConstEpDevice>>;
    Ort::Env& env = environment();
    const std::lock_guard lock(mutex);
    if (const auto found = loaded->find(path); found != loaded->end()) return found->second;
    try {
        const auto before = env.GetEpDevices();
        env.RegisterExecutionProviderLibrary(("aptp:" + path).c_str(), path);
        std::vector<Ort::ConstEpDevice> devices = env.GetEpDevices();
        const auto is_known = [&](const Ort::ConstEpDevice& device) {
            return std::any_of(before.begin(), before.end(), [&](const Ort::ConstEpDevice& each) {
                return static_cast<const OrtEpDevice*>(each) == static_cast<const OrtEpDevice*>(device);
            });
        };
        devices.erase(std::remove_if(devices.begin(), devices.end(), is_known), devices.end());
        return loaded->emplace(path, std::move(devices)).first->second;
    } catch (const Ort::Exception& error) {
        throw Failure(Status::environment, path + ": the provider plugin does not load: " + error.what());
    }
}

}  // namespace aptp
