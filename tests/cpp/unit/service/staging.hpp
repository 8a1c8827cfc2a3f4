// A dispatcher whose work the test plays: errands of so many calls, engines that wait or fail on command.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "service/dispatcher.hpp"

namespace staging {

using aptp::Key;

// How long a test waits for what should take no time.
inline constexpr std::chrono::seconds PATIENCE{30};

// Work of `calls` calls on one engine, a letter. Keeps all that it was told, and then plays it to `listener`.
class Errand final : public aptp::Work {
public:
    using Listener = std::function<void(const std::string& told)>;

    explicit Errand(
        int calls = 1, char engine = 'a', Listener listener = [](const std::string&) {})
        : calls_(calls), engine_(static_cast<Key>(engine)), listener_(std::move(listener)) {}

    Key need() const override { return engine_; }
    std::optional<Key> upcoming() const override { return std::nullopt; }
    bool ended() const override { return made == calls_; }
    aptp::Event started() override { return aptp::Started{}; }
    std::optional<aptp::Event> step() override {
        aptp::Step step;
        step.done = static_cast<std::size_t>(made);
        return step;
    }
    aptp::Event finished() override { return aptp::Finished{}; }

    void hear(const aptp::Event& event) override {
        const std::string told = std::visit([](const auto& each) { return text_of(each); }, event);
        if (++listeners_ > 1) overlapped_ = true;
        {
            const std::lock_guard lock(mutex_);
            heard_.push_back(told);
        }
        listener_(told);
        --listeners_;
        if (!aptp::is_end(event)) return;
        const std::lock_guard lock(mutex_);
        ++ends_;
        over_.notify_all();
    }

    // How it ended, once it has.
    std::string end() {
        std::unique_lock lock(mutex_);
        if (!over_.wait_for(lock, PATIENCE, [this] { return ends_ > 0; })) return "did not end";
        return heard_.back();
    }

    std::vector<std::string> heard() const {
        const std::lock_guard lock(mutex_);
        return heard_;
    }

    // How often it was told of its end: once is right.
    int ends() const {
        const std::lock_guard lock(mutex_);
        return ends_;
    }

    // Whether it was told of two things at once.
    bool overlapped() const { return overlapped_; }

    int made = 0;  // calls, written by the calling thread

private:
    static std::string text_of(const aptp::Queued& queued) { return "behind " + std::to_string(queued.ahead); }
    static std::string text_of(const aptp::Started&) { return "started"; }
    static std::string text_of(const aptp::Step& step) { return std::to_string(step.done); }
    static std::string text_of(const aptp::Finished&) { return "finished"; }
    static std::string text_of(const aptp::Failed& failed) { return failed.message; }

    const int calls_;
    const Key engine_;
    const Listener listener_;
    std::atomic<int> listeners_ = 0;
    std::atomic<bool> overlapped_ = false;
    mutable std::mutex mutex_;
    std::condition_variable over_;
    std::vector<std::string> heard_;
    int ends_ = 0;
};

// The handler. `play` is called in the middle of each work, with what it is and the engine, and may wait or throw.
class Stage final : public aptp::Handler {
public:
    using Play = std::function<void(const std::string& what, char key)>;

    explicit Stage(Play play = [](const std::string&, char) {}) : play_(std::move(play)) {}

    void prepare(aptp::Work& work) override { play_("prepare", letter(work.need())); }

    std::unique_ptr<aptp::Opened> open(Key key) override {
        play_("open", letter(key));
        return std::make_unique<aptp::Opened>();
    }

    void call(Key key, aptp::Opened&, const std::vector<aptp::Work*>& works) override {
        {
            const std::lock_guard lock(mutex_);
            calls_.emplace_back(works);
        }
        play_("call", letter(key));
        for (aptp::Work* work : works) ++static_cast<Errand*>(work)->made;
    }

    void close(Key key, std::unique_ptr<aptp::Opened>) override {
        const std::lock_guard lock(mutex_);
        closed_ += letter(key);
        changed_.notify_all();
    }

    // The works of each call.
    std::vector<std::vector<aptp::Work*>> calls() const {
        const std::lock_guard lock(mutex_);
        return calls_;
    }

    // The engines that were let go.
    std::string closed() const {
        const std::lock_guard lock(mutex_);
        return closed_;
    }

    // Whether those engines were let go, now or soon.
    bool eventually_closed(const std::string& wanted) {
        std::unique_lock lock(mutex_);
        return changed_.wait_for(lock, PATIENCE, [&] { return closed_ == wanted; });
    }

private:
    static char letter(Key key) { return static_cast<char>(key); }

    Play play_;
    mutable std::mutex mutex_;
    std::condition_variable changed_;
    std::vector<std::vector<aptp::Work*>> calls_;
    std::string closed_;
};

// Stops works of a kind until it is left open.
class Gate {
public:
    explicit Gate(std::string what) : what_(std::move(what)) {}

    void operator()(const std::string& what, char) {
        if (what != what_) return;
        std::unique_lock lock(mutex_);
        reached_ = true;
        changed_.notify_all();
        changed_.wait_for(lock, PATIENCE, [this] { return open_; });
    }

    // Until a work has come to the gate.
    void wait() {
        std::unique_lock lock(mutex_);
        changed_.wait_for(lock, PATIENCE, [this] { return reached_; });
    }

    void leave_open() {
        const std::lock_guard lock(mutex_);
        open_ = true;
        changed_.notify_all();
    }

private:
    const std::string what_;
    std::mutex mutex_;
    std::condition_variable changed_;
    bool reached_ = false;
    bool open_ = false;
};

// A dispatcher of `running` requests, of which `batch` share a call, and whose memory holds so many `engines`.
struct Theatre {
    Stage stage;
    aptp::Dispatcher dispatcher;

    explicit Theatre(
        Stage::Play play = [](const std::string&, char) {}, std::int64_t running = 4,
        std::optional<std::int64_t> queued = {}, std::int64_t batch = 4, std::uint64_t engines = 4)
        : stage(std::move(play)), dispatcher(scheduler(running, queued, batch, engines), stage) {}

    static aptp::Scheduler scheduler(std::int64_t running, std::optional<std::int64_t> queued, std::int64_t batch,
                                     std::uint64_t engines) {
        aptp::QueueLimits limits;
        limits.running = running;
        limits.queued = queued;
        return aptp::Scheduler(limits, aptp::MemoryBudget(engines, [](Key) { return std::uint64_t{1}; }),
                               [=](Key) { return batch; });
    }
};

}  // namespace staging
