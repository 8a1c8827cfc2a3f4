// A bundle behind a dispatcher: takes requests, tells how it is doing, and goes on to another version of it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "errors.hpp"
#include "models/models.hpp"
#include "request/options.hpp"
#include "request/params.hpp"
#include "service/dispatcher.hpp"
#include "service/engine_keys.hpp"
#include "service/executor.hpp"
#include "service/status.hpp"

namespace aptp {

// Opens the bundle at a path.
using Opener = std::function<std::shared_ptr<Models>(const std::string& path)>;

// How much a runtime core takes at once. Nothing: a full call of every expert under way, four times as many that wait,
// and half of the memory that this process may use, in bytes, for engines.
struct RuntimeCoreOptions {
    std::optional<std::int64_t> max_running;
    std::optional<std::int64_t> max_queued;
    std::optional<std::int64_t> memory;
    Log log;
};

// What is asked for one image, and by whom.
struct Order {
    std::string prompt;
    GenerationParams params;
    RequestOptions options;
    Listener listener;
};

// Serves from `models`; `reload` changes them. Any thread may call anything.
class RuntimeCore {
public:
    // Throws Failure (usage) and what `opener` throws.
    RuntimeCore(const std::string& path, Opener opener, const RuntimeCoreOptions& options);

    RuntimeCore(const RuntimeCore&) = delete;
    RuntimeCore& operator=(const RuntimeCore&) = delete;

    // Let a request in. Throws Failure (usage, closed, code_unavailable, manifest, integrity), QueueFull.
    TicketPtr submit(const std::string& prompt, const GenerationParams& params, Listener listener,
                     const RequestOptions& options = {});

    // As `submit`, of all orders or of none.
    std::vector<TicketPtr> submit(std::vector<Order> orders);

    // Make an image of as few steps as can be on every expert: each is known to work then, and is open. Throws the
    // failure of the first that does not.
    void warm();

    // Serve from the bundle that is at the path now (nothing: where it was). Requests under way end where they began.
    // Throws what opening throws, and goes on as before then.
    void reload(const std::optional<std::string>& path = {});

    // The code that a prompt goes to. Throws Failure (usage, engine).
    RouterOutput route(const std::string& prompt);

    // What new requests are served from.
    std::shared_ptr<Models> models() const;

    // How it is doing now.
    RuntimeStatus status() const;

    Dispatcher& dispatcher() noexcept { return dispatcher_; }

private:
    void left(const std::shared_ptr<Models>& models, std::int64_t count = 1);
    void clear(const std::shared_ptr<Models>& retired);
    ExpertStatus expert(const std::shared_ptr<Models>& models, const std::string& name,
                        const Scheduler& scheduler) const;

    Opener opener_;
    std::optional<std::int64_t> asked_memory_;
    mutable std::mutex mutex_;  // over the three that follow
    std::string path_;
    std::shared_ptr<Models> models_;
    std::map<std::shared_ptr<Models>, std::int64_t> requests_;  // under way, by version
    EngineKeys keys_;
    Executor executor_;
    Dispatcher dispatcher_;
};

// What `make` gives; a Failure that it throws says which of `count` requests it is about, where there are several.
template <typename Make>
auto of_many(std::size_t index, std::size_t count, Make make) {
    try {
        return make();
    } catch (const Failure& failure) {
        if (count == 1) throw;
        throw Failure(failure.status(), "request " + std::to_string(index) + ": " + failure.what());
    }
}

// What is asked. Throws Failure (usage).
QueueLimits limits(const Models& models, std::optional<std::int64_t> running, std::optional<std::int64_t> queued);

}  // namespace aptp
