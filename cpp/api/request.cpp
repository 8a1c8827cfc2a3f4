// The calls on a request.
#include <cmath>
#include <optional>
#include <string>
#include <tuple>

#include "api/defaults.hpp"
#include "api/guard.hpp"
#include "api/handles.hpp"
#include "api/structs.hpp"

using namespace aptp;
using namespace aptp::api;

namespace {

GenerationParams params_of(const aptp_request_options& asked) {
    GenerationParams params;
    params.negative_prompt = or_default(asked.negative_prompt).value_or("");
    params.solver = or_default(asked.solver);
    params.code = or_default(asked.code);
    params.seed = asked.seed;
    params.steps = or_default(asked.steps);
    params.height = or_default(asked.height);
    params.width = or_default(asked.width);
    params.guidance = or_unset(asked.guidance);
    if (asked.latents != nullptr) {
        params.latents =
            StartLatents{{asked.latents_channels, asked.latents_height, asked.latents_width}, asked.latents};
    }
    return params;
}

RequestOptions options_of(const aptp_request_options& asked) {
    if ((asked.wants & ~(APTP_WANT_STEPS | APTP_WANT_LATENTS)) != 0) {
        throw Failure(Status::usage, "wants " + std::to_string(asked.wants) + ": give a sum of APTP_WANT_...");
    }
    RequestOptions options;
    options.priority = asked.priority;
    options.deadline = or_unset(asked.deadline);
    options.every_step = (asked.wants & APTP_WANT_STEPS) != 0;
    options.previews = asked.previews;
    options.latents = (asked.wants & APTP_WANT_LATENTS) != 0;
    return options;
}

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
        const GenerationParams params = params_of(asked);
        const RequestOptions how = options_of(asked);
        aptp_request* const handle = requests().fresh();
        const auto pending = std::make_shared<Pending>(handle, asked.on_event, asked.user);
        const auto hear = [pending](const Event& event) { pending->hear(event); };
        // The handle is its caller's from the first event on, which may release it in the last: it is given away
        // before, and taken back where the request is refused.
        requests().add(handle, pending);
        *request = handle;
        try {
            pending->admitted(core, core->submit(prompt, params, hear, how));
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
    if (request == nullptr) return;
    static_cast<void>(guarded([&] {
        const auto pending = requests().take(request);
        pending->cancel();
        pending->detach();
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
