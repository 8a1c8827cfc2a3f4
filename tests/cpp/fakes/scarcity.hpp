// A system that gives no threads.
#pragma once

#include <pthread.h>

#include <cstddef>
#include <stdexcept>

namespace fakes {

// Lets no thread of this process start as long as it lives: more is asked for than can be mapped.
class Scarcity {
public:
    Scarcity() {
        pthread_attr_t huge;
        const bool is_set = pthread_getattr_default_np(&usual_) == 0 && pthread_attr_init(&huge) == 0 &&
                            pthread_attr_setstacksize(&huge, std::size_t{1} << 46) == 0 &&
                            pthread_setattr_default_np(&huge) == 0;
        if (!is_set) throw std::runtime_error("the size of stacks cannot be set");
    }
    ~Scarcity() { pthread_setattr_default_np(&usual_); }
    Scarcity(const Scarcity&) = delete;
    Scarcity& operator=(const Scarcity&) = delete;

private:
    pthread_attr_t usual_;
};

}  // namespace fakes
