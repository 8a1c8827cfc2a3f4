// How a runtime is doing, at one moment.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "scheduling/request_stats.hpp"

namespace aptp {

// Where an expert's engine is.
enum class Presence { absent, opening, resident, quarantined };

// One expert: its engine, the requests it runs now, and its work so far (`seconds` in UNet calls).
struct ExpertStatus {
    Presence state = Presence::absent;
    std::int64_t running = 0;
    std::uint64_t images = 0;
    std::uint64_t calls = 0;
    std::uint64_t rows = 0;
    double seconds = 0;
};

// Requests now, and all so far: `counts.admitted` is `queued` + `running` + those that ended, each in one way. `batch`:
// how many may share a call; `last_call`: the expert of the latest, and how many shared it (0: there was none). Memory
// is in bytes, of the engines' weights.
struct RuntimeStatus {
    std::size_t queued = 0;
    std::size_t running = 0;
    std::optional<std::int64_t> max_queued;
    std::int64_t max_running = 0;
    bool draining = false;
    RequestStats counts;
    std::map<std::string, ExpertStatus> experts;
    std::uint64_t memory_used = 0;
    std::uint64_t memory_budget = 0;
    std::int64_t batch = 1;
    std::pair<std::string, std::size_t> last_call;
    std::optional<std::string> trouble;  // why nobody can be served now
};

}  // namespace aptp
