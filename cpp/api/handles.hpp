// What is behind the handles of the C interface.
#pragma once

#include <atomic>
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

// A request as its handle, its listener and whoever waits share it. The listener lives on after the handle was
// released, until it has told of the end.
class Pending {
public:
    Pending(aptp_request* handle, std::weak_ptr<RuntimeCore> core, aptp_on_event on_event, void* user);

    // Hear of an event: keep what it says, then call back. By one thread at a time, which holds no lock.
    void hear(const Event& event) noexcept;

    // The ticket that it was given, unless it has ended; it is taken back at once where that was asked for already.
    void admitted(const TicketPtr& ticket);

    void cancel();

    // Wait until the callback has returned from the end, after `cancel`; in a callback, do not wait.
    void finish();

    // APTP_PENDING, or how it ended.
    aptp_status status() const;

    // As `status`, once the callback has returned from the end, or after so many seconds (nothing: no limit).
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
    void threw(const char* what) noexcept;

    aptp_request* const handle_;
    const std::weak_ptr<RuntimeCore> core_;
    const aptp_on_event on_event_;
    void* const user_;
    mutable std::mutex mutex_;  // over all that follows
    std::condition_variable changed_;
    TicketPtr ticket_;  // until it has ended
    bool cancelled_ = false;
    bool told_ = false;  // the callback has returned from the end
    aptp_status status_ = APTP_PENDING;
    std::string message_;
    aptp_progress progress_ = APTP_PROGRESS_INIT;
    std::shared_ptr<const Generated> image_;
    std::vector<std::uint8_t> png_;
    std::string described_;
};

// Whether this thread is in a callback, where waiting for the runtime would wait for itself.
bool is_called_back() noexcept;

// As long as it lives, this thread is in a callback.
class InCallback {
public:
    InCallback() noexcept;
    ~InCallback();
    InCallback(const InCallback&) = delete;
    InCallback& operator=(const InCallback&) = delete;
};

// A bundle that was opened, and the texts that were handed out, which live until it is closed.
class OpenBundle {
public:
    // `hears`: whether the program's log may still be called.
    OpenBundle(std::shared_ptr<RuntimeCore> core, std::shared_ptr<std::atomic<bool>> hears)
        : core_(std::move(core)), hears_(std::move(hears)) {}

    const std::shared_ptr<RuntimeCore>& core() const noexcept { return core_; }

    // Close it. Where a thread is stuck, it is left to that thread, which may come back to it, and the log hears no
    // more.
    void close();

    // The text for as long as the handle lives.
    const char* keep(const std::string& text);

    // Likewise.
    const std::vector<std::int64_t>& keep(std::vector<std::int64_t> numbers);

private:
    const std::shared_ptr<RuntimeCore> core_;
    const std::shared_ptr<std::atomic<bool>> hears_;
    std::mutex mutex_;
    std::set<std::string> texts_;
    std::set<std::vector<std::int64_t>> numbers_;
};

// All handles of this process.
Registry<aptp_runtime, OpenBundle>& runtimes();
Registry<aptp_request, Pending>& requests();

// As aptp_open, with the models that `opener` opens.
aptp_status open(const char* path, const aptp_open_options* options, aptp_runtime** runtime,
                 std::shared_ptr<Models> (*opener)(const std::string& path, const ModelsOptions& options)) noexcept;

}  // namespace aptp::api
