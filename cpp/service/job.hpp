// An order under way: what was found out about it, the request that makes it, and the engines it needs.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <vector>

#include "service/order.hpp"
#include "service/engine_keys.hpp"
#include "service/denoising.hpp"
#include "service/work.hpp"

namespace aptp {

// The way of an order: prepared, one call after another, decoded. Its listener hears of all that becomes of it.
class Job final : public Work {
public:
    Job(Order order, std::shared_ptr<Models> models, Listener listener, const Wish& wish);

    const Order& order() const noexcept { return order_; }
    const std::shared_ptr<Models>& models() const noexcept { return models_; }

    // Make it ready for its first call; `seconds` were spent on it so far. `dropped`: tokens of the prompt, and of the
    // negative one. Throws Failure (usage) for a size that the expert's engine lacks.
    void begin(Choice choice, std::shared_ptr<Request> request, std::pair<std::int64_t, std::int64_t> dropped,
               double seconds, Places& places);

    // What `begin` brought; not before it.
    const Choice& choice() const { return choice_; }
    const std::shared_ptr<Request>& request() const { return request_; }

    // How many rows of its schedule are walked, as far as it was told. Any thread may ask.
    std::size_t done() const noexcept { return done_; }

    // Take the decoder's output, [3, H, W], which took so many seconds. Throws Failure (engine).
    void decoded(const std::vector<float>& image, double seconds);

    Key need() const override { return places_[position()]; }
    std::optional<Key> upcoming() const override;
    bool ended() const override { return image_ != nullptr; }
    void on_queued(std::size_t ahead) override;
    void on_started() override;
    void on_step() override;
    void on_finished() override;
    void on_failed(const Failed& why) override;

private:
    // Calls made: rows of the schedule, then the decoder.
    std::size_t position() const { return request_->trajectory().position(); }

    Order order_;
    std::shared_ptr<Models> models_;
    Listener listener_;
    Wish wish_;
    Choice choice_;
    std::shared_ptr<Request> request_;
    std::pair<std::int64_t, std::int64_t> dropped_;
    double seconds_ = 0;
    std::atomic<std::size_t> done_ = 0;
    std::vector<Key> places_;         // of each row of the schedule, then of the decoder
    std::vector<std::size_t> shown_;  // after how many rows there is a preview
    std::shared_ptr<const Generated> image_;
};

// What a host's tickets stand for: all of its work is jobs.
inline const Job& job_of(const Ticket& ticket) { return static_cast<const Job&>(*ticket.task); }

}  // namespace aptp
