// aptp: images from prompts, out of a bundle. C++17 over the C interface, header-only.
//
//     aptp::Runtime runtime("bundle");
//     runtime.generate("a red circle").save("image.png");
//
// What aptp.h says of threads and values holds here too. Failures are thrown as aptp::Error.
#pragma once

#include <cstdint>
#include <cstdio>
#include <exception>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "aptp.h"

namespace aptp {
inline namespace face {

// Any failure of the library. The message says what, where, and what to do.
class Error : public std::runtime_error {
public:
    Error(aptp_status status, const std::string& message, double retry_after = 0)
        : std::runtime_error(message), status_(status), retry_after_(retry_after) {}

    aptp_status status() const noexcept { return status_; }

    // Seconds in which room is likely, where the status is APTP_QUEUE_FULL.
    double retry_after() const noexcept { return retry_after_; }

private:
    aptp_status status_;
    double retry_after_;
};

namespace detail {

inline void check(aptp_status status) {
    if (status != APTP_OK && status != APTP_PENDING) throw Error(status, aptp_error(), aptp_retry_after());
}

inline std::optional<std::string> or_nothing(const char* text) {
    return text == nullptr ? std::nullopt : std::optional<std::string>(text);
}

inline const char* or_null(const std::optional<std::string>& text) { return text ? text->c_str() : nullptr; }

}  // namespace detail

// How a bundle is opened: see aptp_open_options. Nothing: the default.
struct OpenOptions {
    std::string engine = "auto";
    std::optional<std::string> precision;
    std::optional<std::string> cache;
    bool cache_group_writable = false;
    std::optional<std::string> provider;
    std::optional<std::int64_t> batch;
    std::optional<std::int64_t> memory;
    std::optional<std::int64_t> threads;
    std::optional<std::int64_t> max_running;
    std::optional<std::int64_t> max_queued;
    std::int64_t device = 0;
    bool warm = false;
    // See aptp_on_log. Must not throw. Destroyed when the runtime is closed.
    std::function<void(aptp_level level, const char* message)> on_log;
};

// Start latents, float32 [channels, height, width].
struct Latents {
    std::int64_t channels = 0;
    std::int64_t height = 0;
    std::int64_t width = 0;
    std::vector<float> values;
};

// What is asked besides the prompt: see aptp_request_options. Nothing: the bundle's default.
struct RequestOptions {
    std::string negative_prompt;
    std::optional<std::string> solver;
    std::optional<std::string> code;
    std::uint64_t seed = 0;
    std::optional<std::int64_t> steps;
    std::optional<std::int64_t> height;
    std::optional<std::int64_t> width;
    std::optional<double> guidance;
    std::optional<Latents> latents;
    int priority = 0;
    std::optional<double> deadline;
    std::int64_t previews = 0;
    bool steps_wanted = false;    // on_event hears of each step, as it does where there are previews or latents
    bool latents_wanted = false;  // each of those has the latents
    // Hears of the request: see aptp_on_event. What it throws takes the request back, and is thrown by `image`. It is
    // destroyed once it has heard of the end; until then it may hold the request, and let go of it at any event.
    std::function<void(const aptp_event& event)> on_event;
};

// An engine, and why it cannot serve the bundle here: nothing if it can.
struct EngineInfo {
    std::string name;
    std::optional<std::string> missing;
};

// A solver, and the numbers of steps that it offers, ascending.
struct SolverInfo {
    std::string name;
    std::vector<std::int64_t> steps;
};

// One image to be made.
struct Order {
    std::string prompt;
    RequestOptions options;
};

class Image;

// One image on its way. Where no copy is left, and no Image of it, it is taken back.
class Request {
public:
    // APTP_PENDING, or how it ended.
    aptp_status poll(aptp_progress* progress = nullptr) const { return aptp_poll(handle(), progress); }

    // Wait until it has ended, at most so many seconds; whether it has. Throws Error only where waiting is not allowed.
    bool wait(double seconds = APTP_FOREVER) const {
        const aptp_status status = aptp_wait(handle(), seconds);
        if (status == APTP_USAGE_ERROR && poll() == APTP_PENDING) detail::check(status);
        return status != APTP_PENDING;
    }

    // Take it back, unless it has ended.
    void cancel() const { detail::check(aptp_cancel(handle())); }

    // Wait for the image. Throws Error, or what its callback threw.
    Image image() const;

private:
    friend class Image;
    friend class Runtime;

    // What a request calls back. It holds itself from aptp_submit on until it has heard of the end, which comes once.
    struct Listener {
        std::function<void(const aptp_event& event)> on_event;
        std::function<void(const aptp_event& event)> on_end;  // whatever became of `on_event`; must not throw
        std::shared_ptr<Listener> itself;
        std::mutex mutex;  // over what follows
        std::exception_ptr thrown;

        // Whether it may hear of more.
        bool listens() {
            const std::lock_guard<std::mutex> lock(mutex);
            return thrown == nullptr;
        }

        void keep(std::exception_ptr error) {
            const std::lock_guard<std::mutex> lock(mutex);
            thrown = std::move(error);
        }

        void rethrow() {
            const std::lock_guard<std::mutex> lock(mutex);
            if (thrown) std::rethrow_exception(thrown);
        }
    };

    struct State {
        aptp_request* handle = nullptr;
        std::shared_ptr<Listener> listener;  // null: nobody is called back

        State() = default;
        State(const State&) = delete;
        State& operator=(const State&) = delete;
        ~State() { aptp_release(handle); }
    };

    // One that is to be let in.
    explicit Request(const RequestOptions& options) : state_(std::make_shared<State>()) {
        if (options.on_event) listen().on_event = options.on_event;
    }

    Listener& listen() {
        if (state_->listener == nullptr) {
            state_->listener = std::make_shared<Listener>();
            state_->listener->itself = state_->listener;
        }
        return *state_->listener;
    }

    // Keep the promise of an image at the end, and the request until then.
    void tell(const std::shared_ptr<std::promise<Image>>& promise);

    // It was not let in, and hears of nothing.
    void refused() {
        if (state_->listener == nullptr) return;
        state_->listener->on_end = nullptr;
        state_->listener->itself = nullptr;
    }

    aptp_request* handle() const noexcept { return state_ ? state_->handle : nullptr; }

    static void hear(void* user, const aptp_event* event) {
        auto* listener = static_cast<Listener*>(user);
        const bool ends = event->kind == APTP_EVENT_ENDED;
        const std::shared_ptr<Listener> holder = ends ? std::move(listener->itself) : nullptr;
        try {
            if (listener->on_event && listener->listens()) listener->on_event(*event);
        } catch (...) {
            listener->keep(std::current_exception());
            aptp_cancel(event->request);
        }
        if (!ends) return;
        listener->on_event = nullptr;  // with all that it holds, this request perhaps
        if (const auto on_end = std::exchange(listener->on_end, nullptr)) on_end(*event);
    }

    std::shared_ptr<State> state_;
};

// An image, and how it came to be: the members of aptp_image. Copies share it.
class Image {
public:
    const aptp_image* operator->() const noexcept { return &image_; }
    const aptp_image& operator*() const noexcept { return image_; }

    // RGB, [height, width, 3], without gaps, as long as there is a copy of this.
    const std::uint8_t* pixels() const noexcept { return image_.pixels; }
    std::int64_t height() const noexcept { return image_.height; }
    std::int64_t width() const noexcept { return image_.width; }

    // All settings of the image and how it came to be, as a JSON object.
    std::string description() const {
        const char* json = nullptr;
        detail::check(aptp_describe(state_->handle, &json));
        return json;
    }

    // The image as a PNG file, its settings in it.
    std::vector<std::uint8_t> png() const {
        const std::uint8_t* bytes = nullptr;
        std::size_t size = 0;
        detail::check(aptp_png(state_ ? state_->handle : nullptr, &bytes, &size));
        return {bytes, bytes + size};
    }

    // Write the PNG file; one that is there is replaced. Throws Error (APTP_OUTPUT_FAILURE).
    void save(const std::string& path) const {
        const std::vector<std::uint8_t> bytes = png();
        std::FILE* file = std::fopen(path.c_str(), "wb");
        const bool written = file != nullptr && std::fwrite(bytes.data(), 1, bytes.size(), file) == bytes.size();
        const bool closed = file != nullptr && std::fclose(file) == 0;
        if (!written || !closed) {
            throw Error(APTP_OUTPUT_FAILURE, path + ": cannot be written; make room, or choose another place");
        }
    }

private:
    friend class Request;

    explicit Image(std::shared_ptr<Request::State> state) : state_(std::move(state)) {
        detail::check(aptp_result(state_->handle, &image_));
    }

    std::shared_ptr<Request::State> state_;
    aptp_image image_ = APTP_IMAGE_INIT;
};

inline Image Request::image() const {
    if (state_ == nullptr) detail::check(poll());  // moved from: refused
    wait();
    if (state_->listener) state_->listener->rethrow();
    return Image(state_);
}

inline void Request::tell(const std::shared_ptr<std::promise<Image>>& promise) {
    listen().on_end = [promise, state = state_](const aptp_event& event) {
        try {
            state->listener->rethrow();
            if (event.status != APTP_OK) throw Error(event.status, event.message);
            promise->set_value(Image(state));
        } catch (...) {
            promise->set_exception(std::current_exception());
        }
    };
}

// An opened bundle, and the threads that serve it. Its end takes back what is under way. Any thread may call anything.
// Where its end comes in a callback, which must not wait, a thread of its own closes it soon after.
class Runtime {
public:
    // Open the bundle at `path`; takes seconds. Throws Error, as all that follow.
    explicit Runtime(const std::string& path, const OpenOptions& options = {}) : opened_(new Opened) {
        opened_->log = options.on_log;
        aptp_open_options asked = APTP_OPEN_OPTIONS_INIT;
        asked.engine = options.engine.c_str();
        asked.cache = detail::or_null(options.cache);
        asked.cache_group_writable = options.cache_group_writable ? 1 : 0;
        asked.precision = detail::or_null(options.precision);
        asked.provider = detail::or_null(options.provider);
        asked.batch = options.batch.value_or(APTP_DEFAULT);
        asked.memory = options.memory.value_or(APTP_DEFAULT);
        asked.threads = options.threads.value_or(APTP_DEFAULT);
        asked.max_running = options.max_running.value_or(APTP_DEFAULT);
        asked.max_queued = options.max_queued.value_or(APTP_DEFAULT);
        asked.device = options.device;
        asked.warm = options.warm ? 1 : 0;
        if (opened_->log) {
            asked.on_log = [](void* user, aptp_level level, const char* message) {
                (*static_cast<Log*>(user))(level, message);
            };
            asked.user = &opened_->log;
        }
        detail::check(aptp_open(path.c_str(), &asked, &opened_->handle));
    }

    // Let a request in, or refuse it, at once.
    Request submit(const std::string& prompt, const RequestOptions& options = {}) {
        Request request(options);
        admit(prompt, options, request);
        return request;
    }

    // Let all of them in, or none, at once.
    std::vector<Request> submit(const std::vector<Order>& orders) {
        std::vector<Request> requests;
        std::vector<const char*> prompts;
        std::vector<aptp_request_options> asked;
        std::vector<const aptp_request_options*> options;
        for (const Order& order : orders) {
            requests.push_back(Request(order.options));
            prompts.push_back(order.prompt.c_str());
            asked.push_back(c_options(order.options, requests.back()));
        }
        for (const aptp_request_options& each : asked) options.push_back(&each);
        std::vector<aptp_request*> handles(orders.size());
        const aptp_status status =
            aptp_submit_all(handle(), orders.size(), prompts.data(), options.data(), handles.data());
        for (std::size_t index = 0; index < orders.size(); ++index) {
            if (status == APTP_OK) {
                requests[index].state_->handle = handles[index];
            } else {
                requests[index].refused();
            }
        }
        detail::check(status);
        return requests;
    }

    // The image of a prompt, later: refused at once, as by `submit`. It is made even where nobody waits for it.
    std::future<Image> generate_async(const std::string& prompt, const RequestOptions& options = {}) {
        const auto promise = std::make_shared<std::promise<Image>>();
        Request request(options);
        request.tell(promise);
        admit(prompt, options, request);
        return promise->get_future();
    }

    // The image of a prompt.
    Image generate(const std::string& prompt, const RequestOptions& options = {}) {
        return submit(prompt, options).image();
    }

    // Which code a prompt goes to.
    aptp_route route(const std::string& prompt) {
        aptp_route route = APTP_ROUTE_INIT;
        detail::check(aptp_route_prompt(handle(), prompt.c_str(), &route));
        return route;
    }

    // What the bundle offers.
    aptp_bundle_info info() {
        aptp_bundle_info info = APTP_BUNDLE_INFO_INIT;
        detail::check(aptp_info(handle(), &info));
        return info;
    }

    // Which engines there are, and what they lack.
    std::vector<EngineInfo> engines() {
        std::vector<EngineInfo> all;
        for (std::int64_t index = 0, count = info().engines; index < count; ++index) {
            aptp_engine_info engine = APTP_ENGINE_INFO_INIT;
            detail::check(aptp_engine(handle(), index, &engine));
            all.push_back({engine.name, detail::or_nothing(engine.missing)});
        }
        return all;
    }

    // The bundle's solvers, by name in order.
    std::vector<SolverInfo> solvers() {
        std::vector<SolverInfo> all;
        for (std::int64_t index = 0, count = info().solvers; index < count; ++index) {
            aptp_solver_info solver = APTP_SOLVER_INFO_INIT;
            detail::check(aptp_solver(handle(), index, &solver));
            all.push_back({solver.name, {solver.steps, solver.steps + solver.count}});
        }
        return all;
    }

    // How it is doing.
    aptp_runtime_status status() {
        aptp_runtime_status status = APTP_RUNTIME_STATUS_INIT;
        detail::check(aptp_get_status(handle(), &status));
        return status;
    }

    // How each expert is doing, by name in order.
    std::vector<aptp_expert_status> experts() {
        std::vector<aptp_expert_status> all;
        for (std::int64_t index = 0, count = info().experts; index < count; ++index) {
            aptp_expert_status status = APTP_EXPERT_STATUS_INIT;
            detail::check(aptp_expert(handle(), index, &status));
            all.push_back(status);
        }
        return all;
    }

    // Serve new requests from the bundle that is now at `path` (nothing: where the last one was).
    void reload(const std::optional<std::string>& path = {}) {
        detail::check(aptp_reload(handle(), detail::or_null(path)));
    }

    // Let nothing more in, and wait until all is done; false where `seconds` cut some of it off.
    bool drain(double seconds = APTP_FOREVER) {
        const aptp_status status = aptp_drain(handle(), seconds);
        if (status != APTP_DEADLINE_EXCEEDED) detail::check(status);
        return status == APTP_OK;
    }

    // Close the engines that are not in use. They open again when they are needed.
    void free_engines() { detail::check(aptp_free_engines(handle())); }

    // For calls that are not here.
    aptp_runtime* handle() const noexcept { return opened_ ? opened_->handle : nullptr; }

private:
    using Log = std::function<void(aptp_level, const char*)>;

    // The handle, and the log, which outlives the runtime that calls it.
    struct Opened {
        Log log;
        aptp_runtime* handle = nullptr;
    };

    struct Close {
        void operator()(Opened* opened) const noexcept {
            if (aptp_close(opened->handle) != APTP_USAGE_ERROR) return delete opened;
            try {
                std::thread([opened] {
                    aptp_close(opened->handle);
                    delete opened;
                }).detach();
            } catch (const std::system_error&) {
                // No thread is to be had: it stays open, and calls its log, until the process ends.
            }
        }
    };

    void admit(const std::string& prompt, const RequestOptions& options, Request& request) {
        const aptp_request_options asked = c_options(options, request);
        const aptp_status status = aptp_submit(handle(), prompt.c_str(), &asked, &request.state_->handle);
        if (status != APTP_OK) request.refused();
        detail::check(status);
    }

    static aptp_request_options c_options(const RequestOptions& options, const Request& request) {
        aptp_request_options asked = APTP_REQUEST_OPTIONS_INIT;
        if (request.state_->listener) {
            asked.on_event = Request::hear;
            asked.user = request.state_->listener.get();
        }
        asked.negative_prompt = options.negative_prompt.c_str();
        asked.solver = detail::or_null(options.solver);
        asked.code = detail::or_null(options.code);
        asked.seed = options.seed;
        asked.steps = options.steps.value_or(APTP_DEFAULT);
        asked.height = options.height.value_or(APTP_DEFAULT);
        asked.width = options.width.value_or(APTP_DEFAULT);
        asked.guidance = options.guidance.value_or(APTP_UNSET);
        asked.priority = options.priority;
        asked.deadline = options.deadline.value_or(APTP_UNSET);
        asked.previews = options.previews;
        asked.wants = (options.steps_wanted ? APTP_WANT_STEPS : 0U) | (options.latents_wanted ? APTP_WANT_LATENTS : 0U);
        if (!options.latents) return asked;
        const Latents& latents = *options.latents;
        if (latents.channels < 0 || latents.height < 0 || latents.width < 0 ||
            static_cast<double>(latents.values.size()) != static_cast<double>(latents.channels) *
                                                              static_cast<double>(latents.height) *
                                                              static_cast<double>(latents.width)) {
            throw Error(APTP_USAGE_ERROR, "latents: hold more or fewer values than their sides say");
        }
        asked.latents = latents.values.data();
        asked.latents_channels = latents.channels;
        asked.latents_height = latents.height;
        asked.latents_width = latents.width;
        return asked;
    }

    std::unique_ptr<Opened, Close> opened_;
};

}  // namespace face
}  // namespace aptp
