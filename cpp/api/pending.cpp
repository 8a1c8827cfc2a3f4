#include <algorithm>
#include <chrono>
#include <utility>
#include <variant>

#include "api/describe.hpp"
#include "api/guard.hpp"
#include "api/handles.hpp"
#include "images/png.hpp"
#include "service/request.hpp"

namespace aptp::api {

namespace {

thread_local int callbacks = 0;  // that this thread is in

constexpr double LONGEST_WAIT = 1e9;  // seconds: clocks do not count further

aptp_event told(const Queued& queued) {
    aptp_event event{};
    event.kind = APTP_EVENT_QUEUED;
    event.ahead = static_cast<std::int64_t>(queued.ahead);
    return event;
}

aptp_event told(const Started& started) {
    aptp_event event{};
    event.kind = APTP_EVENT_STARTED;
    event.expert = started.choice.expert.c_str();
    return event;
}

aptp_event told(const Step& step) {
    aptp_event event{};
    event.kind = APTP_EVENT_STEP;
    event.done = static_cast<std::int64_t>(step.done);
    event.total = static_cast<std::int64_t>(step.total);
    event.timestep = step.timestep;
    if (step.preview) {
        event.preview = step.preview->data();
        event.preview_height = step.shape[1];
        event.preview_width = step.shape[2];
    }
    if (step.latents) {
        event.latents = step.latents->data();
        event.latents_channels = step.shape[0];
        event.latents_height = step.shape[1];
        event.latents_width = step.shape[2];
    }
    return event;
}

aptp_event told(const Finished&) {
    aptp_event event{};
    event.kind = APTP_EVENT_ENDED;
    event.message = "";
    return event;
}

aptp_event told(const Failed& failed) {
    aptp_event event{};
    event.kind = APTP_EVENT_ENDED;
    event.status = to_c(failed.status);
    event.message = failed.message.c_str();
    return event;
}

}  // namespace

bool is_called_back() noexcept { return callbacks > 0; }

InCallback::InCallback() noexcept { ++callbacks; }

InCallback::~InCallback() { --callbacks; }

Pending::Pending(aptp_request* handle, std::weak_ptr<RuntimeCore> core, aptp_on_event on_event, void* user)
    : handle_(handle), core_(std::move(core)), on_event_(on_event), user_(user) {}

void Pending::hear(const Event& event) noexcept {
    TicketPtr ticket;  // let go of without the lock: it may be the last of its models
    bool ended = false;
    {
        const std::lock_guard lock(mutex_);
        ended = note(event);
        if (ended) ticket = std::move(ticket_);
    }
    if (on_event_ != nullptr) call_back(event);
    if (!ended) return;
    const std::lock_guard lock(mutex_);
    told_ = true;
    changed_.notify_all();
}

// Keep what an event says; whether it is the end.
bool Pending::note(const Event& event) {
    if (std::holds_alternative<Started>(event)) progress_.started = 1;
    if (const auto* finished = std::get_if<Finished>(&event)) {
        image_ = finished->image;
        status_ = APTP_OK;
        progress_.done = progress_.total;
    } else if (const auto* failed = std::get_if<Failed>(&event)) {
        status_ = to_c(failed->status);
        message_ = failed->message;
    }
    if (status_ == APTP_PENDING) return false;
    if (ticket_ && status_ != APTP_OK) progress_.done = static_cast<std::int64_t>(request_of(*ticket_).done());
    return true;
}

void Pending::call_back(const Event& event) noexcept {
    aptp_event shown = std::visit([](const auto& each) { return told(each); }, event);
    shown.size = sizeof shown;
    shown.request = handle_;
    const InCallback scope;
    try {
        on_event_(user_, &shown);
    } catch (const std::exception& error) {
        threw(error.what());
    } catch (...) {
        threw("what is no exception");
    }
}

// Callbacks must not throw. One that does costs its own request, and nobody else's.
void Pending::threw(const char* what) noexcept {
    cancel();
    if (const auto core = core_.lock()) {
        core->dispatcher().report(std::string("a callback threw, so its request is taken back: ") + what, true);
    }
}

void Pending::admitted(const TicketPtr& ticket) {
    bool cancelled = false;
    {
        const std::lock_guard lock(mutex_);
        progress_.total = static_cast<std::int64_t>(request_of(*ticket).steps()->rows.size());
        if (status_ == APTP_OK) progress_.done = progress_.total;
        if (status_ != APTP_PENDING) return;
        ticket_ = ticket;
        cancelled = cancelled_;
    }
    if (cancelled) cancel();
}

void Pending::cancel() {
    TicketPtr ticket;
    {
        const std::lock_guard lock(mutex_);
        cancelled_ = true;
        ticket = ticket_;
    }
    const auto core = core_.lock();
    if (core && ticket) core->dispatcher().cancel(ticket);
}

void Pending::finish() {
    if (is_called_back()) return;
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return told_; });
}

aptp_status Pending::status() const {
    const std::lock_guard lock(mutex_);
    return status_;
}

aptp_status Pending::wait(std::optional<double> seconds) {
    std::unique_lock lock(mutex_);
    if (is_called_back()) {
        if (status_ != APTP_PENDING) return status_;
        throw Failure(Status::usage, "waiting in a callback would wait for itself; wait in another thread");
    }
    const auto is_told = [this] { return told_; };
    if (!seconds) {
        changed_.wait(lock, is_told);
    } else {
        const double limit = std::clamp(*seconds, 0.0, LONGEST_WAIT);
        changed_.wait_for(lock, std::chrono::duration<double>(limit), is_told);
    }
    return told_ ? status_ : APTP_PENDING;
}

std::string Pending::message() const {
    const std::lock_guard lock(mutex_);
    return message_;
}

aptp_progress Pending::progress() const {
    const std::lock_guard lock(mutex_);
    aptp_progress progress = progress_;
    if (ticket_) progress.done = static_cast<std::int64_t>(request_of(*ticket_).done());
    return progress;
}

std::shared_ptr<const Generated> Pending::image() const {
    const std::lock_guard lock(mutex_);
    return image_;
}

const std::vector<std::uint8_t>& Pending::png() {
    const std::lock_guard lock(mutex_);
    if (png_.empty()) {
        const auto height = static_cast<std::uint32_t>(image_->params.height);
        const auto width = static_cast<std::uint32_t>(image_->params.width);
        png_ = encode_png(image_->pixels.data(), height, width, sorted_description(*image_));
    }
    return png_;
}

const std::string& Pending::described() {
    const std::lock_guard lock(mutex_);
    if (described_.empty()) described_ = description(*image_);
    return described_;
}

}  // namespace aptp::api
