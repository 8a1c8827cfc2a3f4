// Which experts are in quarantine: those that failed several times in a row, for a while.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "scheduling/ticket.hpp"

namespace aptp {

inline constexpr int FAILURES = 3;
inline constexpr Seconds QUARANTINE = 60.0;

// The models that it is one of, and the name of its engine.
using Patient = std::pair<const void*, std::string>;

// Failures by expert. After `failures` in a row it is left alone for `seconds`, then tried again. Any thread may use
// it.
class Health {
public:
    explicit Health(int failures = FAILURES, Seconds seconds = QUARANTINE) : failures_(failures), seconds_(seconds) {}

    int failures() const noexcept { return failures_; }
    Seconds seconds() const noexcept { return seconds_; }

    // Note a call that came to its end.
    void worked(const Patient& expert);

    // Note a call, or an opening, that did not.
    void failed(const Patient& expert, Seconds now);

    // Drop what is known of the experts of models that are gone.
    void forget(const void* models);

    // Whether nobody is to be sent to it now.
    bool quarantined(const Patient& expert, Seconds now) const;

private:
    struct Record {
        int failures = 0;
        std::optional<Seconds> until;
    };

    int failures_;
    Seconds seconds_;
    mutable std::mutex mutex_;
    std::map<Patient, Record> records_;
};

}  // namespace aptp
