// room: scheduling
// Drives a Scheduler as lines of JSON on standard input say, one command each, and prints what it decided and how it
// stands then. Engines are letters; tasks are strings of them, one letter for each call.
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "errors.hpp"
#include "scheduling/capacity.hpp"
#include "scheduling/scheduler.hpp"

namespace {

using aptp::Key;
using nlohmann::json;

json letter(Key key) { return std::string(1, static_cast<char>(key)); }

Key key_of(const json& text) { return static_cast<Key>(text.get<std::string>().at(0)); }

json letters(const std::vector<Key>& keys) {
    json all = json::array();
    for (const Key key : keys) all.push_back(letter(key));
    return all;
}

struct Errand final : aptp::SchedulerTask {
    explicit Errand(std::string plan) : engines(std::move(plan)) {}

    Key need() const override { return static_cast<Key>(engines.at(done)); }

    std::optional<Key> upcoming() const override {
        const auto other = engines.find_first_not_of(engines.at(done), done);
        return other == std::string::npos ? std::nullopt : std::optional(static_cast<Key>(engines[other]));
    }

    bool ended() const override { return done == engines.size(); }

    std::string engines;
    std::size_t done = 0;
};

// A scheduler under test, and the numbers of its tickets in the order they came.
class World {
public:
    explicit World(const json& how)
        : how_(how), scheduler_(limits(how), memory(), [this](Key key) { return number("batch", key); }) {}

    json act(const json& command) {
        const std::string what = command["do"];
        if (what == "admit") return admit(command);
        if (what == "cancel") return scheduler_.cancel(ticket(command));
        if (what == "expire") return sorted(scheduler_.expire(command["now"]));
        if (what == "next_preparation") return or_null(scheduler_.next_preparation());
        if (what == "prepared") return scheduler_.prepared(ticket(command), command["failed"]);
        if (what == "next_opening") return opening();
        if (what == "opened") return scheduler_.opened(key_of(command["key"]), command["seconds"]), nullptr;
        if (what == "not_opened") return numbers(scheduler_.not_opened(key_of(command["key"])));
        if (what == "evict") return evict(command["keys"]);
        if (what == "next_call") return next_call();
        if (what == "called") return called(command);
        throw std::invalid_argument("unknown command " + what);
    }

    json state() const {
        const aptp::RequestStats& counts = scheduler_.counts();
        const auto deadline = scheduler_.next_deadline();
        const auto opening = scheduler_.memory().opening();
        return {{"queued", scheduler_.queue().size()},
                {"running", numbers(scheduler_.running())},
                {"memory", letters(scheduler_.memory().keys())},
                {"opening", opening ? letter(*opening) : json(nullptr)},
                {"used", scheduler_.memory().used()},
                {"deadline", deadline ? json(*deadline) : json(nullptr)},
                {"counts",
                 {counts.admitted, counts.rejected, counts.finished, counts.failed, counts.cancelled, counts.expired}},
                {"pace", counts.pace}};
    }

private:
    static aptp::QueueLimits limits(const json& how) {
        aptp::QueueLimits limits;
        limits.running = how["running"];
        if (!how["queued"].is_null()) limits.queued = how["queued"].get<std::int64_t>();
        limits.patience = how["patience"];
        limits.advantage = how["advantage"];
        return limits;
    }

    aptp::MemoryBudget memory() {
        return aptp::MemoryBudget(how_["budget"],
                                  [this](Key key) { return static_cast<std::uint64_t>(number("cost", key)); });
    }

    std::int64_t number(const char* what, Key key) const { return how_[what][letter(key).get<std::string>()]; }

    const aptp::TicketPtr& ticket(const json& command) const {
        return tickets_.at(command["ticket"].get<std::size_t>());
    }

    json or_null(const aptp::TicketPtr& ticket) const { return ticket ? json(numbers_.at(ticket.get())) : json(); }

    json numbers(const std::vector<aptp::TicketPtr>& tickets) const {
        json all = json::array();
        for (const auto& each : tickets) all.push_back(numbers_.at(each.get()));
        return all;
    }

    json sorted(const std::vector<aptp::TicketPtr>& tickets) const {
        std::vector<std::size_t> all = numbers(tickets);
        std::sort(all.begin(), all.end());
        return all;
    }

    json admit(const json& command) {
        std::optional<double> deadline;
        if (!command["deadline"].is_null()) deadline = command["deadline"].get<double>();
        try {
            const auto task = std::make_shared<Errand>(command["engines"]);
            const auto ticket = scheduler_.admit(task, command["priority"], deadline, command["now"]);
            numbers_[ticket.get()] = tickets_.size();
            tickets_.push_back(ticket);
            return tickets_.size() - 1;
        } catch (const aptp::QueueFull& full) {
            return {{"full", full.what()}, {"retry_after", full.retry_after()}};
        }
    }

    json opening() {
        const auto opening = scheduler_.next_opening();
        if (!opening) return nullptr;
        return {{"key", letter(opening->key)}, {"victims", letters(opening->victims)}};
    }

    json evict(const std::string& keys) {
        return letters(
            scheduler_.evict([&](Key key) { return keys.find(static_cast<char>(key)) != std::string::npos; }));
    }

    json next_call() {
        const auto group = scheduler_.next_call();
        if (!group) return nullptr;
        calling_ = *group;
        return {{"key", letter(group->key)}, {"tickets", numbers(group->tickets)}};
    }

    json called(const json& command) {
        const bool failed = command["failed"];
        for (const auto& each : calling_.tickets) {
            if (!failed) ++static_cast<Errand&>(*each->task).done;
        }
        return numbers(scheduler_.called(command["seconds"], command["now"], failed));
    }

    json how_;
    aptp::Scheduler scheduler_;
    std::vector<aptp::TicketPtr> tickets_;
    std::map<const aptp::Ticket*, std::size_t> numbers_;
    aptp::CallGroup calling_;
};

}  // namespace

int main() {
    std::optional<World> world;
    aptp::Capacity capacity;
    for (std::string line; std::getline(std::cin, line);) {
        const json command = json::parse(line);
        json answer = nullptr;
        if (command["do"] == "world") {
            world.emplace(command);
        } else if (command["do"] == "learn") {
            capacity.called(key_of(command["key"]), command["count"], command["rows"], command["seconds"]);
            answer = capacity.of(key_of(command["key"]), command["most"]);
        } else {
            answer = world->act(command);
        }
        std::cout << json{{"answer", answer}, {"state", world ? world->state() : json()}}.dump() << std::endl;
    }
}
