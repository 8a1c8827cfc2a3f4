// A thread that does one kind of work, a piece at a time.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <utility>

#include "service/supervised_thread.hpp"

namespace aptp {

// Does what it is given, in order, by `work`. Whoever starts it has to stop it.
template <typename Piece>
class WorkerThread : public SupervisedThread {
public:
    WorkerThread(std::string name, std::function<void(Piece&)> work, Died died, Clock clock)
        : SupervisedThread(
              std::move(name), [this] { work_on(); }, std::move(died), std::move(clock)),
          work_(std::move(work)) {}

    // As SupervisedThread::start.
    void start() {
        stopping_ = false;  // there is no other thread yet
        SupervisedThread::start();
    }

    // Hand over a piece of work. Any thread may.
    void give(Piece piece) {
        {
            const std::lock_guard lock(mutex_);
            given_.push_back(std::move(piece));
        }
        changed_.notify_one();
    }

    // Do what was given so far, and end; whether it has: one that is stuck is not waited for, and ends when it comes
    // back. Not from the thread itself.
    bool stop() {
        {
            const std::lock_guard lock(mutex_);
            stopping_ = true;
        }
        changed_.notify_one();
        return join();
    }

private:
    void work_on() {
        std::unique_lock lock(mutex_);
        while (true) {
            changed_.wait(lock, [this] { return stopping_ || !given_.empty(); });
            if (given_.empty()) return;
            {
                Piece piece = std::move(given_.front());
                given_.pop_front();
                lock.unlock();
                begin();
                work_(piece);
                done();
            }  // what is done is not kept until more is to be done, nor destroyed with the lock held
            lock.lock();
        }
    }

    const std::function<void(Piece&)> work_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<Piece> given_;
    bool stopping_ = false;
};

}  // namespace aptp
