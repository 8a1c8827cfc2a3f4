// The calls on a request.
#include <cmath>
#include <optional>
#include <string>
#include <tuple>

#include "api/guard.hpp"
#include "api/handles.hpp"
#include "api/structs.hpp"
#include "request/defaults.hpp"

using namespace aptp;
using namespace aptp::api;

namespace {

// What became of a request, for this thread's `aptp_error` too.
aptp_status ended(const Pending& pending, aptp_status status) {
    return status == APTP_OK || status == APTP_PENDING ? status : fail(status, pending.message());
}

aptp_image to_c(const Generated& image) {
    const auto& [choice, params] = std::tie(image.choice, image.params);
    aptp_image told = APTP_IMAGE_INIT;
    told.pixels = image.pixels.data();
    told.height = params.height;
    told.width = params.width;
    told.blank = image.blank ? 1 : 0;
    told.expert = choice.expert.c_str();
    told.code = choice.code.value_or(-1);
    told.routed = choice.routed ? 1 : 0;
    told.fell_back = choice.fell_back ? 1 : 0;
    told.out_of_distribution = choice.out_of_distribution ? 1 : 0;
    told.margin = choice.margin.value_or(NOTHING);
    told.distance = choice.distance.value_or(NOTHING);
    told.solver = params.solver.c_str();
    told.steps = params.steps;
    told.guidance = params.guidance;
    told.seeded = params.seed ? 1 : 0;
    told.seed = params.seed.value_or(0);
    told.dropped_tokens = image.dropped_tokens;
    told.negative_dropped_tokens = image.negative_dropped_tokens;
    told.milliseconds = image.milliseconds;
    return told;
}

}  // namespace

aptp_status aptp_submit(aptp_runtime* runtime, const char* prompt, const aptp_request_options* options,
                        aptp_request** request) {
    return guarded([&] {
        given(request, "request") = nullptr;
        given(prompt, "prompt");
        const std::shared_ptr<RuntimeCore> core = runtimes().find(runtime)->core();
        const auto asked = read<aptp_request_options>(options, APTP_REQUEST_OPTIONS_INIT, "options");
        const auto params = GenerationParams::of(asked);
        const auto how = RequestOptions::of(asked);
        aptp_request* const handle = requests().fresh();
        const auto pending = std::make_shared<Pending>(handle, core, asked.on_event, asked.user);
        const auto hear = [pending](const Event& event) { pending->hear(event); };
        // The handle is its caller's from the first event on, which may release it in the last: it is given away
        // before, and taken back where the request is refused.
        requests().add(handle, pending);
        *request = handle;
        try {
            pending->admitted(core->submit(prompt, params, hear, how));
        } catch (...) {
            *request = nullptr;
            requests().take(handle);
            throw;
        }
        return APTP_OK;
    });
}

aptp_status aptp_poll(const aptp_request* request, aptp_progress* progress) {
    return guarded([&] {
        const auto pending = requests().find(request);
        const aptp_status status = pending->status();
        if (progress != nullptr) write(progress, pending->progress(), "progress");
        return ended(*pending, status);
    });
}

aptp_status aptp_wait(aptp_request* request, double seconds) {
    return guarded([&] {
        const auto pending = requests().find(request);
        if (std::isnan(seconds)) throw Failure(Status::usage, "seconds nan: give a number, or APTP_FOREVER");
        return ended(*pending, pending->wait(seconds == APTP_FOREVER ? std::nullopt : std::optional(seconds)));
    });
}

aptp_status aptp_cancel(aptp_request* request) {
    return guarded([&] {
        requests().find(request)->cancel();
        return APTP_OK;
    });
}

void aptp_release(aptp_request* request) {
    if (request == nullptr || is_forked_child()) return;  // a child's handles are the parent's
    static_cast<void>(guarded([&] {
        const auto pending = requests().take(request);
        pending->cancel();
        pending->finish();
        return APTP_OK;
    }));
}

aptp_status aptp_result(const aptp_request* request, aptp_image* image) {
    return guarded([&] {
        const auto pending = requests().find(request);
        const aptp_status status = pending->status();
        if (status == APTP_OK) write(image, to_c(*pending->image()), "image");
        return ended(*pending, status);
    });
}

aptp_status aptp_describe(aptp_request* request, const char** json) {
    return guarded([&] {
        given(json, "json") = nullptr;
        const auto pending = requests().find(request);
        const aptp_status status = pending->status();
        if (status == APTP_OK) *json = pending->described().c_str();
        return ended(*pending, status);
    });
}

aptp_status aptp_png(aptp_request* request, const uint8_t** bytes, size_t* size) {
    return guarded([&] {
        given(bytes, "bytes") = nullptr;
        given(size, "size") = 0;
        const auto pending = requests().find(request);
        const aptp_status status = pending->status();
        if (status == APTP_OK) {
            *bytes = pending->png().data();
            *size = pending->png().size();
        }
        return ended(*pending, status);
    });
}
