// Which handles live, and what is behind each.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <unordered_map>
#include <utility>

#include "errors.hpp"

namespace aptp::api {

// A number that no handle had before, odd as no address of a struct is. Handles are such numbers, not addresses: one
// that was closed is told from all that live, whatever the memory behind it holds by then.
std::uintptr_t fresh_number() noexcept;

// Handles of one kind, for any number of threads. Whoever finds what is behind a handle shares it, so that another
// thread may close it meanwhile.
template <typename Handle, typename Behind>
class Registry {
public:
    explicit Registry(std::string name) : name_(std::move(name)) {}

    static Handle* fresh() noexcept { return reinterpret_cast<Handle*>(fresh_number()); }

    void add(Handle* handle, std::shared_ptr<Behind> behind) {
        const std::lock_guard lock(mutex_);
        live_.emplace(handle, std::move(behind));
    }

    // Throws Failure (usage) for what is no handle, or was one.
    std::shared_ptr<Behind> find(const Handle* handle) const {
        const std::shared_lock lock(mutex_);
        const auto found = live_.find(handle);
        if (found == live_.end()) throw refusal(handle);
        return found->second;
    }

    // As `find`, and it is a handle no more.
    std::shared_ptr<Behind> take(const Handle* handle) {
        const std::lock_guard lock(mutex_);
        const auto found = live_.find(handle);
        if (found == live_.end()) throw refusal(handle);
        const std::shared_ptr<Behind> behind = std::move(found->second);
        live_.erase(found);
        return behind;
    }

private:
    Failure refusal(const Handle* handle) const {
        if (handle == nullptr) return Failure(Status::usage, name_ + ": NULL was given");
        return Failure(Status::usage, name_ + ": the handle is none, or was closed or released before");
    }

    const std::string name_;
    mutable std::shared_mutex mutex_;
    std::unordered_map<const Handle*, std::shared_ptr<Behind>> live_;
};

}  // namespace aptp::api
