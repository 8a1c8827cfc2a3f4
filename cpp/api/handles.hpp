// What is behind the handles of the C interface.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "api/registry.hpp"
#include "aptp.h"
#include "service/runtime_core.hpp"

namespace aptp::api {

// A request as its handle, its listener and whoever waits share it. The listener may live on for a call after the
// handle was released.
class Pending {
public:
    Pending(aptp_request* handle, aptp_on_event on_event, void* user);

    // Hear of an event: keep what it says, then call back.
    void hear(const Event& event) noexcept;

    // The ticket that it was given, unless it has ended; it is taken back at once where that was asked for already.
    void admitted(const std::shared_ptr<RuntimeCore>& core, const TicketPtr& ticket);

    void cancel();

    // Call nobody back from now on; waits until the end was told, after `cancel`.
    void detach();

    // APTP_PENDING, or how it ended.
    aptp_status status() const;

    // As `status`, after at most so many seconds (nothing: no limit).
    aptp_status wait(std::optional<double> seconds);

    // How it ended without an image.
    std::string message() const;

    aptp_progress progress() const;

    // Null where it has not ended with one.
    std::shared_ptr<const Generated> image() const;

    // The image as PNG, encoded once; there is one. Throws Failure (output).
    const std::vector<std::uint8_t>& png();

    // What made the image, as JSON; there is one.
    const std::string& described();

private:
    bool note(const Event& event);
    void call_back(const Event& event) noexcept;

    aptp_request* const handle_;
    std::recursive_mutex hearing_;  // held while it calls back, over the next two
    aptp_on_event on_event_;
    void* const user_;
    mutable std::mutex mutex_;  // over all that follows
    std::condition_variable ended_;
    std::weak_ptr<RuntimeCore> core_;
    TicketPtr ticket_;  // until it has ended
    bool cancelled_ = false;
    aptp_status status_ = APTP_PENDING;
    std::string message_;
    aptp_progress progress_ = APTP_PROGRESS_INIT;
    std::shared_ptr<const Generated> image_;
    std::vector<std::uint8_t> png_;
    std::string described_;
};

// Whether this thread is in a callback, where waiting for the runtime would wait for itself.
bool is_called_back() noexcept;

// A bundle that was opened, and the texts that were handed out, which live until it is closed.
class OpenBundle {
public:
    explicit OpenBundle(std::shared_ptr<RuntimeCore> core) : core_(std::move(core)) {}

    const std::shared_ptr<RuntimeCore>& core() const noexcept { return core_; }

    // The text for as long as the handle lives.
    const char* keep(const std::string& text);

private:
    const std::shared_ptr<RuntimeCore> core_;
    std::mutex mutex_;
    std::set<std::string> texts_;
};

// All handles of this process.
Registry<aptp_runtime, OpenBundle>& runtimes();
Registry<aptp_request, Pending>& requests();

// As aptp_open, with the models that `opener` opens.
aptp_status open(const char* path, const aptp_open_options* options, aptp_runtime** runtime,
                 std::shared_ptr<Models> (*opener)(const std::string& path, const ModelsOptions& options)) noexcept;

}  // namespace aptp::api
