// How many requests are worth a call, learned from the calls themselves: on each engine, at each size.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>

#include "scheduling/ticket.hpp"

namespace aptp {

inline constexpr double WORTH = 0.05;
inline constexpr std::int64_t SAMPLES = 8;

// The smallest group in which a row costs at most `worth` more than in the best one.
//
// The least of several calls is compared, for what else a machine does only ever makes calls longer. Until both single
// requests and the largest groups have had `samples` calls, groups are as large as may be. Any thread may use it.
class Capacity {
public:
    explicit Capacity(double worth = WORTH, std::int64_t samples = SAMPLES) : worth_(worth), samples_(samples) {}

    // Learn from a call that `count` requests shared, which have one or two of its `rows` each.
    void called(Key key, std::int64_t count, std::int64_t rows, Seconds seconds);

    // How many may share a call on an engine, where its arrays take `most`.
    std::int64_t of(Key key, std::int64_t most) const;

    // Drop what was learned of an engine that is gone for good.
    void forget(Key key);

private:
    // Calls of one size of group: how many, and the least seconds that a row of one took.
    struct Pace {
        std::int64_t calls = 0;
        Seconds least = 0;
    };

    double worth_;
    std::int64_t samples_;
    mutable std::mutex mutex_;
    std::map<Key, std::map<std::int64_t, Pace>> paces_;
};

}  // namespace aptp
