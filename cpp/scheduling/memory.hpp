// Which engines are in memory, under a budget, and which may go to make room for another.
//
// An engine that a call is running on is never given up; one that has work left, only after its turn: it has to have
// run TURN times as long as it took to open, so that opening engines costs a known share of all time where the budget
// does not hold them all.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "scheduling/ticket.hpp"

namespace aptp {

inline constexpr double TURN = 4;

// The engines' bookkeeping. `cost` gives the bytes that one is expected to hold.
class MemoryBudget {
public:
    using Cost = std::function<std::uint64_t(Key)>;

    MemoryBudget(std::uint64_t budget, Cost cost) : budget_(budget), cost_(std::move(cost)) {}

    std::uint64_t budget() const noexcept { return budget_; }

    // Bytes that the engines hold, or will when the one being opened is there.
    std::uint64_t used() const;

    bool contains(Key key) const;

    // All engines, the least recently used first.
    std::vector<Key> keys() const;

    // The engine that is being opened.
    std::optional<Key> opening() const noexcept { return opening_; }

    // Whether an engine of which that is true is there, or being opened.
    bool holds(const std::function<bool(Key)>& which) const;

    // Which engines have to go so that `key` can come, or nothing where that has to wait. `busy` are those that
    // somebody needs; to fetch `ahead` of need, none of them goes.
    std::optional<std::vector<Key>> victims(Key key, const std::vector<Key>& busy, bool ahead) const;

    // Count an engine that is being opened; room was made for it. One at a time.
    void start(Key key);

    // Keep the engine that was being opened.
    void opened(Key key, Seconds seconds);

    // Forget the engine that was being opened.
    void failed(Key key);

    // Note a call.
    void ran(Key key, Seconds seconds);

    // Give an engine up.
    void evict(Key key);

private:
    // An engine's time in memory: what it is expected to hold, and seconds that it took to open and ran.
    struct Stay {
        Key key;
        std::uint64_t cost;
        Seconds opening;
        Seconds ran;
    };

    std::vector<Stay>::const_iterator find(Key key) const;

    std::uint64_t budget_;
    Cost cost_;
    std::vector<Stay> resident_;  // the least recently used first
    std::optional<Key> opening_;
};

}  // namespace aptp
