#include "service/runtime_core.hpp"

#include <algorithm>
#include <future>
#include <utility>
#include <variant>

#include "errors.hpp"

namespace aptp {

namespace {

Memory memory_of(const Models& models, std::optional<std::int64_t> asked, const Places& places) {
    return Memory(static_cast<std::uint64_t>(models.budget(asked)), [&places](Key key) {
        const auto place = places.at(key);
        return place ? place->cost : 0;
    });
}

bool is_end(const Event& event) {
    return std::holds_alternative<Finished>(event) || std::holds_alternative<Failed>(event);
}

// The fewest steps that a solver of the bundle's default offers.
std::int64_t fewest_steps(const Manifest& manifest) {
    const auto& rows = manifest.schedules.find(manifest.defaults.solver)->second.rows;
    const auto offered = std::find_if(rows.begin(), rows.end(), [](std::int64_t count) { return count != 0; });
    return offered - rows.begin() + 1;
}

}  // namespace

Limits limits(const Models& models, std::optional<std::int64_t> running, std::optional<std::int64_t> queued) {
    if (running) check_limit(*running, "max_running");
    if (queued && *queued != 0) check_limit(*queued, "max_queued");
    Limits limits;
    const auto experts = static_cast<std::int64_t>(models.manifest().experts.size());
    limits.running = running.value_or(std::max<std::int64_t>(4, models.batch() * experts));
    limits.queued = queued.value_or(4 * limits.running);
    return limits;
}

Host::Host(const std::string& path, Opener opener, const HostOptions& options)
    : opener_(std::move(opener)),
      asked_memory_(options.memory),
      path_(path),
      models_(opener_(path)),
      crew_(places_),
      service_(
          Scheduler(limits(*models_, options.max_running, options.max_queued),
                    memory_of(*models_, asked_memory_, places_), [this](Key key) { return places_.capacity_of(key); }),
          crew_, options.log) {}

TicketPtr Host::submit(const std::string& prompt, const Wanted& wanted, Listener listener, const Wish& wish) {
    check_wish(wish);
    std::shared_ptr<Models> models;
    {
        const std::lock_guard lock(mutex_);
        models = models_;
        ++jobs_[models];
    }
    try {
        auto hear = [this, models, listener = std::move(listener)](const Event& event) {
            if (is_end(event)) left(models);
            listener(event);
        };
        const auto job = std::make_shared<Job>(take(*models, prompt, wanted), models, std::move(hear), wish);
        return service_.submit(job, static_cast<int>(wish.priority), wish.seconds);
    } catch (...) {
        left(models);
        throw;
    }
}

void Host::warm() {
    const auto models = this->models();
    Wanted wanted;
    wanted.settings.steps = fewest_steps(models->manifest());
    for (const auto& [name, expert] : models->manifest().experts) {
        wanted.code = name;
        std::promise<Event> end;
        submit("", wanted, [&](const Event& event) {
            if (is_end(event)) end.set_value(event);
        });
        const Event told = end.get_future().get();
        if (const auto* failed = std::get_if<Failed>(&told)) throw Failure(failed->status, failed->message);
    }
}

void Host::reload(const std::optional<std::string>& path) {
    std::string place;
    {
        const std::lock_guard lock(mutex_);
        place = path.value_or(path_);
    }
    auto models = opener_(place);
    models->verify();  // now, and not when its first request needs a file
    models->budget(asked_memory_);
    {
        const std::lock_guard lock(mutex_);
        std::swap(models_, models);
        path_ = place;
        jobs_.emplace(models, 0);
    }
    clear(models);
}

Route Host::route(const std::string& prompt) { return models()->route(prompt); }

std::shared_ptr<Models> Host::models() const {
    const std::lock_guard lock(mutex_);
    return models_;
}

void Host::left(const std::shared_ptr<Models>& models) {
    bool last = false;
    {
        const std::lock_guard lock(mutex_);
        last = --jobs_[models] == 0 && models != models_;
    }
    if (last) clear(models);
}

// Let go of a version that nobody uses any more.
void Host::clear(const std::shared_ptr<Models>& retired) {
    {
        const std::lock_guard lock(mutex_);
        const auto jobs = jobs_.find(retired);
        if (jobs == jobs_.end() || jobs->second != 0 || retired == models_) return;
        jobs_.erase(jobs);
    }
    crew_.health().forget(retired.get());
    service_.retire([this, version = std::weak_ptr<Models>(retired)](Key key) {
        const auto place = places_.at(key);
        return place && place->is_of(version);
    });
}

ServiceStatus Host::status() const {
    const auto models = this->models();
    ServiceStatus status;
    status.draining = service_.closing();
    status.batch = models->batch();
    status.last_call = crew_.tally().last_call();
    service_.look([&](const Scheduler& scheduler) {
        status.queued = scheduler.queue().size();
        status.running = scheduler.running().size();
        status.max_queued = scheduler.limits().queued;
        status.max_running = scheduler.limits().running;
        status.counts = scheduler.counts();
        status.memory_used = scheduler.memory().used();
        status.memory_budget = scheduler.memory().budget();
        for (const auto& [name, entry] : models->manifest().experts) {
            status.experts.emplace(name, expert(models, name, scheduler));
        }
    });
    return status;
}

ExpertStatus Host::expert(const std::shared_ptr<Models>& models, const std::string& name,
                          const Scheduler& scheduler) const {
    const std::string engine = models->engine_of(name);
    const auto is_its_own = [&](Key key) {
        const auto place = places_.at(key);
        return place && place->is_of(models) && place->bucket.model == engine;
    };
    ExpertStatus status;
    const auto keys = scheduler.memory().keys();
    const auto opening = scheduler.memory().opening();
    if (crew_.is_quarantined(*models, name)) {
        status.state = Presence::quarantined;
    } else if (std::any_of(keys.begin(), keys.end(), is_its_own)) {
        status.state = Presence::resident;
    } else if (opening && is_its_own(*opening)) {
        status.state = Presence::opening;
    }
    for (const TicketPtr& ticket : scheduler.running()) {
        // Of one that is being prepared the choice may be written to now.
        const bool chosen = ticket->state == State::running;
        if (chosen && job_of(*ticket).choice().expert == name) ++status.running;
    }
    const Done done = crew_.tally().of(name);
    status.images = done.images;
    status.calls = done.calls;
    status.rows = done.rows;
    status.seconds = done.seconds;
    return status;
}

}  // namespace aptp
