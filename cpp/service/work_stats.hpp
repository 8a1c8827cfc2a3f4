// How much work was done, by every expert.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "scheduling/ticket.hpp"
#include "service/batch.hpp"

namespace aptp {

// One expert's images, and its UNet calls: how many, their rows, and their seconds.
struct ExpertWork {
    std::uint64_t images = 0;
    std::uint64_t calls = 0;
    std::uint64_t rows = 0;
    Seconds seconds = 0;
};

// Every expert's work. Any thread may use it.
class WorkStats {
public:
    // Note a call that requests shared, each for its expert.
    void called(const Denoisings& denoisings, Seconds seconds);

    // Note an image.
    void decoded(const std::string& expert);

    ExpertWork of(const std::string& expert) const;

    // The latest call's expert, and how many requests shared it; 0 of them before the first.
    std::pair<std::string, std::size_t> last_call() const;

private:
    mutable std::mutex mutex_;
    std::map<std::string, ExpertWork> experts_;
    std::pair<std::string, std::size_t> last_call_{"", 0};
};

}  // namespace aptp
