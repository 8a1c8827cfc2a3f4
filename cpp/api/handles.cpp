#include "api/handles.hpp"

#include <atomic>

namespace aptp::api {

std::uintptr_t fresh_number() noexcept {
    static std::atomic<std::uintptr_t> next = 1;
    return next.fetch_add(2);
}

void OpenBundle::close() {
    if (core_->dispatcher().close()) return;
    *hears_ = false;
    static_cast<void>(new std::shared_ptr<RuntimeCore>(core_));  // for good
}

const char* OpenBundle::keep(const std::string& text) {
    const std::lock_guard lock(mutex_);
    return texts_.insert(text).first->c_str();
}

const std::vector<std::int64_t>& OpenBundle::keep(std::vector<std::int64_t> numbers) {
    const std::lock_guard lock(mutex_);
    return *numbers_.insert(std::move(numbers)).first;
}

// Neither is ever destroyed: what a program did not close must not be closed while it ends, when threads and libraries
// may be gone already.
Registry<aptp_runtime, OpenBundle>& runtimes() {
    static auto& live = *new Registry<aptp_runtime, OpenBundle>("runtime");
    return live;
}

Registry<aptp_request, Pending>& requests() {
    static auto& live = *new Registry<aptp_request, Pending>("request");
    return live;
}

}  // namespace aptp::api
