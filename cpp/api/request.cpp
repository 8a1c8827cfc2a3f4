// The calls on a request.
#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

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

// A request that is to be let in, and its handle.
struct Asked {
    // Throws Failure (usage).
    Asked(const std::shared_ptr<RuntimeCore>& core, const char* prompt, const aptp_request_options* options) {
        const auto wanted = read<aptp_request_options>(options, APTP_REQUEST_OPTIONS_INIT, "options");
        pending = std::make_shared<Pending>(handle, core, wanted.on_event, wanted.user);
        order = {&given(prompt, "prompt"), GenerationParams::of(wanted), RequestOptions::of(wanted),
                 [pending = pending](const Event& event) { pending->hear(event); }};
    }

    aptp_request* handle = requests().fresh();
    std::shared_ptr<Pending> pending;
    Order order;
};

// Let all of them in, or none. The handles are their caller's from the first event on, which may release them in the
// last: they are given away before, and taken back where the requests are refused.
void submit(RuntimeCore& core, const std::vector<Asked>& asked, aptp_request** handles) {
    std::vector<Order> orders;
    for (std::size_t index = 0; index < asked.size(); ++index) {
        orders.push_back(asked[index].order);
        requests().add(asked[index].handle, asked[index].pending);
        handles[index] = asked[index].handle;
    }
    try {
        const std::vector<TicketPtr> tickets = core.submit(std::move(orders));
        for (std::size_t index = 0; index < asked.size(); ++index) asked[index].pending->admitted(tickets[index]);
    } catch (...) {
        std::fill_n(handles, asked.size(), nullptr);
        for (const Asked& each : asked) requests().take(each.handle);
        throw;
    }
}

}  // namespace

aptp_status aptp_submit(aptp_runtime* runtime, const char* prompt, const aptp_request_options* options,
                        aptp_request** request) {
    return guarded([&] {
        given(request, "request") = nullptr;
        const std::shared_ptr<RuntimeCore> core = runtimes().find(runtime)->core();
        const Asked asked(core, prompt, options);
        submit(*core, {asked}, request);
        return APTP_OK;
    });
}

aptp_status aptp_submit_all(aptp_runtime* runtime, size_t count, const char* const* prompts,
                            const aptp_request_options* const* options, aptp_request** requests) {
    return guarded([&] {
        if (count == 0) throw Failure(Status::usage, "count 0: give at least one prompt");
        given(requests, "requests");
        std::fill_n(requests, count, nullptr);
        given(prompts, "prompts");
        const std::shared_ptr<RuntimeCore> core = runtimes().find(runtime)->core();
        std::vector<Asked> asked;
        for (size_t index = 0; index < count; ++index) {
            asked.push_back(of_many(index, count, [&] {
                return Asked(core, prompts[index], options == nullptr ? nullptr : options[index]);
            }));
        }
        submit(*core, asked, requests);
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
