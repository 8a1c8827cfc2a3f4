// Who does the work that the scheduler hands out, on a bundle's models: prepares, opens, calls, decodes.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "machine/memory.hpp"
#include "service/batch.hpp"
#include "service/dispatcher.hpp"
#include "service/engine_keys.hpp"
#include "service/health.hpp"
#include "service/request.hpp"
#include "service/work.hpp"
#include "service/work_stats.hpp"

namespace aptp {

// Works on whichever models a request was given; all its work are Requests. Knows nothing of threads.
class Executor final : public Handler {
public:
    explicit Executor(EngineKeys& keys, Clock clock = steady_seconds) : keys_(keys), clock_(std::move(clock)) {}

    Health& health() noexcept { return health_; }
    const WorkStats& work_stats() const noexcept { return stats_; }

    // Encode, route, look the clock up, and draw the start noise.
    void prepare(Work& work) override;

    // The engine, or the decoder.
    std::unique_ptr<Opened> open(Key key) override;

    // A step of all requests in one UNet call, or the decoding of one.
    void call(Key key, Opened& engine, const std::vector<Work*>& works) override;

    // Let go of an engine, and of the models where it was their last.
    void close(Key key, std::unique_ptr<Opened> engine) override { static_cast<void>(key), engine.reset(); }

    // Give their memory back to the system.
    void closed() override { give_memory_back(); }

    // Whether nobody is sent to an expert now.
    bool is_quarantined(const Models& models, const std::string& expert) const;

private:
    RoutingDecision choose(const Request& request) const;
    void refuse_quarantined(const Models& models, const std::string& expert) const;
    void step(Key key, Opened& engine, const std::vector<Work*>& works);
    void decode(Opened& engine, const std::vector<Work*>& works);

    EngineKeys& keys_;
    Clock clock_;
    Health health_;
    WorkStats stats_;
};

}  // namespace aptp
