#include "scheduling/request_stats.hpp"

namespace aptp {

namespace {

constexpr double SMOOTHING = 0.2;

}  // namespace

void RequestStats::add(End end) {
    switch (end) {
        case End::finished:
            ++finished;
            return;
        case End::failed:
            ++failed;
            return;
        case End::cancelled:
            ++cancelled;
            return;
        case End::expired:
            ++expired;
            return;
    }
}

void RequestStats::noted_finish(Seconds now, std::size_t count, bool more) {
    if (last) pace += SMOOTHING * ((now - *last) / static_cast<double>(count) - pace);
    last = more ? std::optional(now) : std::nullopt;
}

}  // namespace aptp
