// Who does the work that the scheduler hands out, on a bundle's models: prepares, opens, calls, decodes.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "service/batch.hpp"
#include "service/health.hpp"
#include "service/job.hpp"
#include "service/engine_keys.hpp"
#include "service/dispatcher.hpp"
#include "service/work_stats.hpp"
#include "service/work.hpp"

namespace aptp {

// Works on whichever models a job was given; all its work are Jobs. Knows nothing of threads.
class Crew final : public Handler {
public:
    explicit Crew(Places& places, Clock clock = steady_seconds) : places_(places), clock_(std::move(clock)) {}

    Health& health() noexcept { return health_; }
    const Tally& tally() const noexcept { return tally_; }

    // Encode, route, look the clock up, and draw the start noise.
    void prepare(Work& work) override;

    // The engine, or the decoder.
    std::unique_ptr<Opened> open(Key key) override;

    // A step of all jobs in one UNet call, or the decoding of one.
    void call(Key key, Opened& engine, const std::vector<Work*>& works) override;

    // Let go of an engine, and of the models where it was their last.
    void close(Key key, std::unique_ptr<Opened> engine) override { static_cast<void>(key), engine.reset(); }

    // Whether nobody is sent to an expert now.
    bool is_quarantined(const Models& models, const std::string& expert) const;

private:
    Choice choose(const Job& job) const;
    void refuse_quarantined(const Models& models, const std::string& expert) const;
    void step(Key key, Opened& engine, const std::vector<Work*>& works);
    void decode(Opened& engine, const std::vector<Work*>& works);

    Places& places_;
    Clock clock_;
    Health health_;
    Tally tally_;
};

}  // namespace aptp
