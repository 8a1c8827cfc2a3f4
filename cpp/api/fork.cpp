#include "api/fork.hpp"

#include <pthread.h>

#include <atomic>

#include "errors.hpp"

namespace aptp::api {

namespace {

std::atomic<bool> forked = false;

}  // namespace

void note_use() {
    static const int registered = pthread_atfork(nullptr, nullptr, [] { forked = true; });
    if (registered != 0) throw Failure(Status::failure, "out of memory");
}

bool is_forked_child() noexcept { return forked; }

void refuse_in_forked_child() {
    if (!forked) return;
    throw Failure(Status::forked,
                  "the bundle was opened before this process was forked, and its threads stayed behind; fork before "
                  "the first bundle is opened, or let the child start a program");
}

}  // namespace aptp::api
