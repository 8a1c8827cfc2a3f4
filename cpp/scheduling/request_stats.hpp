// What became of all requests, in numbers: every one that was admitted is in exactly one of them.
#pragma once

#include <cstdint>
#include <optional>

#include "scheduling/ticket.hpp"

namespace aptp {

// Requests so far, by how they ended.
struct RequestStats {
    std::uint64_t admitted = 0;
    std::uint64_t rejected = 0;
    std::uint64_t finished = 0;
    std::uint64_t failed = 0;
    std::uint64_t cancelled = 0;
    std::uint64_t expired = 0;
    Seconds pace = 1.0;           // between two that finish, while there is work
    std::optional<Seconds> last;  // when one finished that was not the last

    // Count a request that ended.
    void add(End end);

    // Learn the pace from `count` that finished; without `more` to do, the next gap tells nothing.
    void noted_finish(Seconds now, std::size_t count, bool more);
};

}  // namespace aptp
