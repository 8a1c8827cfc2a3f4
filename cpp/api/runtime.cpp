// The calls on a runtime.
#include <atomic>
#include <cmath>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "api/guard.hpp"
#include "api/handles.hpp"
#include "api/structs.hpp"
#include "models/models.hpp"
#include "request/defaults.hpp"

using namespace aptp;
using namespace aptp::api;

namespace {

std::shared_ptr<RuntimeCore> core_of(const aptp_runtime* runtime) { return runtimes().find(runtime)->core(); }

void refuse_in_callbacks(const char* doing) {
    if (is_called_back()) {
        throw Failure(Status::usage,
                      std::string(doing) + " in a callback would wait for itself; do it in another thread");
    }
}

// The program's log, as long as it `hears`.
Log log_of(const aptp_open_options& options, std::shared_ptr<std::atomic<bool>> hears) {
    if (options.on_log == nullptr) return {};
    return [hear = options.on_log, user = options.user, hears = std::move(hears)](const std::string& message,
                                                                                  bool is_error) {
        if (!*hears) return;
        const InCallback scope;
        try {
            hear(user, is_error ? APTP_ERROR : APTP_WARNING, message.c_str());
        } catch (...) {  // it must not throw; that it does has no other log to go to
        }
    };
}

ModelsOptions models_options(const aptp_open_options& options, const Log& log) {
    ModelsOptions models;
    if (options.engine != nullptr) models.engine = options.engine;
    models.precision = or_default(options.precision);
    models.cache.folder = or_default(options.cache);
    models.cache.group_writable = options.cache_group_writable != 0;
    models.batch = or_default(options.batch);
    models.threads = or_default(options.threads);
    models.provider = or_default(options.provider);
    models.device = options.device;
    models.log = log;
    if (log) models.cache.warn = [log](const std::string& message) { log(message, false); };
    return models;
}

RuntimeCoreOptions core_options(const aptp_open_options& options, const Log& log) {
    RuntimeCoreOptions core;
    core.max_running = or_default(options.max_running);
    core.max_queued = or_default(options.max_queued);
    core.memory = or_default(options.memory);
    core.log = log;
    return core;
}

aptp_expert_state to_c(Presence presence) {
    switch (presence) {
        case Presence::absent:
            return APTP_EXPERT_ABSENT;
        case Presence::opening:
            return APTP_EXPERT_OPENING;
        case Presence::resident:
            return APTP_EXPERT_RESIDENT;
        case Presence::quarantined:
            return APTP_EXPERT_QUARANTINED;
    }
    return APTP_EXPERT_ABSENT;
}

}  // namespace

aptp_status aptp::api::open(const char* path, const aptp_open_options* options, aptp_runtime** runtime,
                            std::shared_ptr<Models> (*opener)(const std::string&, const ModelsOptions&)) noexcept {
    return guarded([&] {
        given(runtime, "runtime") = nullptr;
        given(path, "path");
        const auto asked = read<aptp_open_options>(options, APTP_OPEN_OPTIONS_INIT, "options");
        note_use();
        const auto hears = std::make_shared<std::atomic<bool>>(true);
        const Log log = log_of(asked, hears);
        const auto open_path = [opener, models = models_options(asked, log)](const std::string& place) {
            return opener(place, models);
        };
        const auto core = std::make_shared<RuntimeCore>(path, open_path, core_options(asked, log));
        if (asked.warm != 0) core->warm();
        aptp_runtime* const handle = runtimes().fresh();
        runtimes().add(handle, std::make_shared<OpenBundle>(core, hears));
        *runtime = handle;
        return APTP_OK;
    });
}

aptp_status aptp_open(const char* path, const aptp_open_options* options, aptp_runtime** runtime) {
    return open(path, options, runtime, open_models);
}

aptp_status aptp_close(aptp_runtime* runtime) {
    if (is_forked_child()) return APTP_OK;  // what is to be closed is the parent's
    return guarded([&] {
        if (runtime == nullptr) return APTP_OK;
        refuse_in_callbacks("closing");
        // Closed now, also where another call or a request's handle holds the core for a moment longer.
        runtimes().take(runtime)->close();
        return APTP_OK;
    });
}

aptp_status aptp_drain(aptp_runtime* runtime, double seconds) {
    return guarded([&] {
        refuse_in_callbacks("draining");
        if (std::isnan(seconds)) throw Failure(Status::usage, "seconds nan: give a number, or APTP_FOREVER");
        const auto limit = seconds == APTP_FOREVER ? std::nullopt : std::optional(std::max(seconds, 0.0));
        if (core_of(runtime)->dispatcher().drain(limit)) return APTP_OK;
        return fail(APTP_DEADLINE_EXCEEDED, "the time to drain passed before all requests were done");
    });
}

aptp_status aptp_reload(aptp_runtime* runtime, const char* path) {
    return guarded([&] {
        core_of(runtime)->reload(or_default(path));
        return APTP_OK;
    });
}

aptp_status aptp_free_engines(aptp_runtime* runtime) {
    return guarded([&] {
        core_of(runtime)->dispatcher().evict([](Key) { return true; });
        return APTP_OK;
    });
}

aptp_status aptp_route_prompt(aptp_runtime* runtime, const char* prompt, aptp_route* route) {
    return guarded([&] {
        given(prompt, "prompt");
        const RouterOutput found = core_of(runtime)->route(prompt);
        aptp_route told = APTP_ROUTE_INIT;
        told.code = found.code;
        told.margin = found.margin.value_or(NOTHING);
        told.distance = found.distance.value_or(NOTHING);
        write(route, told, "route");
        return APTP_OK;
    });
}

aptp_status aptp_info(aptp_runtime* runtime, aptp_bundle_info* info) {
    return guarded([&] {
        const auto opened = runtimes().find(runtime);
        const auto models = opened->core()->models();
        const Manifest& manifest = models->manifest();
        const std::int64_t scale = manifest.decoder.scale;
        aptp_bundle_info told = APTP_BUNDLE_INFO_INIT;
        told.engine = opened->keep(models->engine());
        told.batch = models->batch();
        told.codes = manifest.router.codes;
        told.experts = static_cast<std::int64_t>(manifest.experts.size());
        told.solver = opened->keep(manifest.defaults.solver);
        told.steps = manifest.defaults.steps;
        told.guidance = manifest.defaults.guidance;
        told.height = manifest.latent.height * scale;
        told.width = manifest.latent.width * scale;
        told.multiple = manifest.latent.multiple * scale;
        told.minimum = manifest.latent.minimum * scale;
        told.maximum = manifest.latent.maximum * scale;
        told.latents_channels = manifest.latent.channels;
        told.latents_scale = scale;
        told.engines = static_cast<std::int64_t>(models->engines().size());
        told.solvers = static_cast<std::int64_t>(manifest.schedules.size());
        write(info, told, "info");
        return APTP_OK;
    });
}

aptp_status aptp_get_status(aptp_runtime* runtime, aptp_runtime_status* status) {
    return guarded([&] {
        const RuntimeStatus now = core_of(runtime)->status();
        aptp_runtime_status told = APTP_RUNTIME_STATUS_INIT;
        told.queued = static_cast<std::int64_t>(now.queued);
        told.running = static_cast<std::int64_t>(now.running);
        told.max_queued = now.max_queued.value_or(std::numeric_limits<std::int64_t>::max());
        told.max_running = now.max_running;
        told.draining = now.draining ? 1 : 0;
        told.admitted = now.counts.admitted;
        told.finished = now.counts.finished;
        told.failed = now.counts.failed;
        told.cancelled = now.counts.cancelled;
        told.expired = now.counts.expired;
        told.rejected = now.counts.rejected;
        told.memory_used = now.memory_used;
        told.memory_budget = now.memory_budget;
        told.last_call = static_cast<std::int64_t>(now.last_call.second);
        thread_local std::string trouble;
        trouble = now.trouble.value_or("");
        told.trouble = now.trouble ? trouble.c_str() : nullptr;
        write(status, told, "status");
        return APTP_OK;
    });
}

aptp_status aptp_expert(aptp_runtime* runtime, int64_t index, aptp_expert_status* status) {
    return guarded([&] {
        const auto opened = runtimes().find(runtime);
        const RuntimeStatus now = opened->core()->status();
        check_index("expert", index, now.experts.size());
        const auto& [name, expert] = *std::next(now.experts.begin(), index);
        aptp_expert_status told = APTP_EXPERT_STATUS_INIT;
        told.name = opened->keep(name);
        told.state = to_c(expert.state);
        told.running = expert.running;
        told.images = expert.images;
        told.calls = expert.calls;
        told.rows = expert.rows;
        told.seconds = expert.seconds;
        write(status, told, "status");
        return APTP_OK;
    });
}
