#include "service/runtime_core.hpp"

#include <algorithm>
#include <future>
#include <limits>
#include <utility>
#include <variant>

#include "errors.hpp"
#include "request/limits.hpp"
#include "service/request.hpp"

namespace aptp {

namespace {

MemoryBudget memory_of(const Models& models, std::optional<std::int64_t> asked, const EngineKeys& keys) {
    return MemoryBudget(static_cast<std::uint64_t>(models.budget(asked)), [&keys](Key key) {
        const auto engine = keys.at(key);
        return engine ? engine->cost : 0;
    });
}

// Of two positive numbers; the largest that there is where that is not enough, for it counts as no limit.
std::int64_t product(std::int64_t one, std::int64_t other) {
    constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
    return one > most / other ? most : one * other;
}

// The fewest steps that a solver of the bundle's default offers.
std::int64_t fewest_steps(const Manifest& manifest) {
    const auto& rows = manifest.schedules.find(manifest.defaults.solver)->second.rows;
    const auto offered = std::find_if(rows.begin(), rows.end(), [](std::int64_t count) { return count != 0; });
    return offered - rows.begin() + 1;
}

}  // namespace

QueueLimits limits(const Models& models, std::optional<std::int64_t> running, std::optional<std::int64_t> queued) {
    if (running) check_limit(*running, "max_running");
    if (queued && *queued != 0) check_limit(*queued, "max_queued");
    QueueLimits limits;
    const auto experts = static_cast<std::int64_t>(models.manifest().experts.size());
    limits.running = running.value_or(std::max<std::int64_t>(4, product(models.batch(), experts)));
    limits.queued = queued.value_or(product(4, limits.running));
    return limits;
}

RuntimeCore::RuntimeCore(const std::string& path, Opener opener, const RuntimeCoreOptions& options)
    : opener_(std::move(opener)),
      asked_memory_(options.memory),
      path_(path),
      models_(opener_(path)),
      executor_(keys_),
      dispatcher_(
          Scheduler(limits(*models_, options.max_running, options.max_queued),
                    memory_of(*models_, asked_memory_, keys_), [this](Key key) { return keys_.capacity_of(key); }),
          executor_, options.log) {}

TicketPtr RuntimeCore::submit(const std::string& prompt, const GenerationParams& params, Listener listener,
                              const RequestOptions& options) {
    return submit({{prompt, params, options, std::move(listener)}}).front();
}

std::vector<TicketPtr> RuntimeCore::submit(std::vector<Order> orders) {
    const auto count = static_cast<std::int64_t>(orders.size());
    std::shared_ptr<Models> models;
    {
        const std::lock_guard lock(mutex_);
        models = models_;
        requests_[models] += count;
    }
    try {
        std::vector<Submission> submissions;
        for (Order& order : orders) {
            auto hear = [this, models, listener = std::move(order.listener)](const Event& event) {
                if (is_end(event)) left(models);
                listener(event);
            };
            const RequestOptions& options = order.options;
            auto request = of_many(submissions.size(), orders.size(), [&] {
                return std::make_shared<Request>(models, order.prompt, order.params, options, std::move(hear));
            });
            submissions.push_back({std::move(request), static_cast<int>(options.priority), options.deadline});
        }
        return dispatcher_.submit(submissions);
    } catch (...) {
        left(models, count);
        throw;
    }
}

void RuntimeCore::warm() {
    const auto models = this->models();
    GenerationParams params;
    params.steps = fewest_steps(models->manifest());
    for (const auto& [name, expert] : models->manifest().experts) {
        params.code = name;
        // Shared: the thread that tells of the end may not be done with it when this one knows of it.
        const auto end = std::make_shared<std::promise<Event>>();
        submit("", params, [end](const Event& event) {
            if (is_end(event)) end->set_value(event);
        });
        const Event told = end->get_future().get();
        if (const auto* failed = std::get_if<Failed>(&told)) throw Failure(failed->status, failed->message);
    }
}

void RuntimeCore::reload(const std::optional<std::string>& path) {
    std::string folder;
    {
        const std::lock_guard lock(mutex_);
        folder = path.value_or(path_);
    }
    auto models = opener_(folder);
    models->verify();  // now, and not when its first request needs a file
    models->budget(asked_memory_);
    {
        const std::lock_guard lock(mutex_);
        std::swap(models_, models);
        path_ = folder;
        requests_.emplace(models, 0);
    }
    clear(models);
}

RouterOutput RuntimeCore::route(const std::string& prompt) { return models()->route(prompt); }

std::shared_ptr<Models> RuntimeCore::models() const {
    const std::lock_guard lock(mutex_);
    return models_;
}

void RuntimeCore::left(const std::shared_ptr<Models>& models, std::int64_t count) {
    bool last = false;
    {
        const std::lock_guard lock(mutex_);
        last = (requests_[models] -= count) == 0 && models != models_;
    }
    if (last) clear(models);
}

// Let go of a version that nobody uses any more.
void RuntimeCore::clear(const std::shared_ptr<Models>& retired) {
    {
        const std::lock_guard lock(mutex_);
        const auto found = requests_.find(retired);
        if (found == requests_.end() || found->second != 0 || retired == models_) return;
        requests_.erase(found);
    }
    executor_.health().forget(retired.get());
    dispatcher_.retire([this, version = std::weak_ptr<Models>(retired)](Key key) {
        const auto engine = keys_.at(key);
        return engine && engine->is_of(version);
    });
}

RuntimeStatus RuntimeCore::status() const {
    const auto models = this->models();
    RuntimeStatus status;
    status.draining = dispatcher_.closing();
    status.batch = models->batch();
    status.trouble = dispatcher_.trouble();
    status.last_call = executor_.work_stats().last_call();
    dispatcher_.look([&](const Scheduler& scheduler) {
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

ExpertStatus RuntimeCore::expert(const std::shared_ptr<Models>& models, const std::string& name,
                                 const Scheduler& scheduler) const {
    const std::string engine = models->engine_of(name);
    const auto is_its_own = [&](Key key) {
        const auto found = keys_.at(key);
        return found && found->is_of(models) && found->bucket.model == engine;
    };
    ExpertStatus status;
    const auto keys = scheduler.memory().keys();
    const auto opening = scheduler.memory().opening();
    if (executor_.is_quarantined(*models, name)) {
        status.state = Presence::quarantined;
    } else if (std::any_of(keys.begin(), keys.end(), is_its_own)) {
        status.state = Presence::resident;
    } else if (opening && is_its_own(*opening)) {
        status.state = Presence::opening;
    }
    for (const TicketPtr& ticket : scheduler.running()) {
        // Of one that is being prepared the choice may be written to now.
        const bool chosen = ticket->state == State::running;
        if (chosen && request_of(*ticket).choice().expert == name) ++status.running;
    }
    const ExpertWork work = executor_.work_stats().of(name);
    status.images = work.images;
    status.calls = work.calls;
    status.rows = work.rows;
    status.seconds = work.seconds;
    return status;
}

}  // namespace aptp
