// A thread that does one kind of work, a piece at a time.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>

namespace aptp {

// Does what it is given, in order. `work` must not throw. Whoever starts it has to stop it.
template <typename Piece>
class WorkerThread {
public:
    explicit WorkerThread(std::function<void(Piece&)> work) : work_(std::move(work)) {}

    // Begin to take work, also after a `stop`. Throws std::system_error where no thread is to be had.
    void start() {
        stopping_ = false;  // there is no other thread yet
        thread_ = std::thread([this] { run(); });
    }

    // Hand over a piece of work. Any thread may.
    void give(Piece piece) {
        {
            const std::lock_guard lock(mutex_);
            given_.push_back(std::move(piece));
        }
        changed_.notify_one();
    }

    // Do what was given so far, and end. Not from the thread itself.
    void stop() {
        {
            const std::lock_guard lock(mutex_);
            stopping_ = true;
        }
        changed_.notify_one();
        if (thread_.joinable()) thread_.join();
    }

private:
    void run() {
        std::unique_lock lock(mutex_);
        while (true) {
            changed_.wait(lock, [this] { return stopping_ || !given_.empty(); });
            if (given_.empty()) return;
            {
                Piece piece = std::move(given_.front());
                given_.pop_front();
                lock.unlock();
                work_(piece);
            }  // what is done is not kept until more is to be done, nor destroyed with the lock held
            lock.lock();
        }
    }

    std::function<void(Piece&)> work_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<Piece> given_;
    bool stopping_ = false;
    std::thread thread_;
};

}  // namespace aptp
