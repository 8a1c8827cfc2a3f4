// Between exceptions here and statuses there: nothing that is thrown leaves the library.
#pragma once

#include <cfenv>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <new>
#include <string>

#include "api/fork.hpp"
#include "aptp.h"
#include "errors.hpp"

namespace aptp::api {

// Keep a failure for this thread's `aptp_error`; gives its status.
aptp_status fail(aptp_status status, const std::string& message, double retry_after = 0) noexcept;

// The number that C knows a status by.
inline aptp_status to_c(Status status) noexcept { return static_cast<aptp_status>(status); }

// The processor's usual arithmetic, in this thread and those that it starts, as long as it lives: programs may round in
// other ways, or flush small numbers to zero.
class UsualArithmetic {
public:
    UsualArithmetic() noexcept {
        std::fegetenv(&before_);
        std::fesetenv(FE_DFL_ENV);
    }
    ~UsualArithmetic() { std::fesetenv(&before_); }
    UsualArithmetic(const UsualArithmetic&) = delete;
    UsualArithmetic& operator=(const UsualArithmetic&) = delete;

private:
    std::fenv_t before_;
};

// What `work` gives, or the status of what it throws; in a forked child it is refused, and not begun.
template <typename Work>
aptp_status guarded(Work work) noexcept {
    const UsualArithmetic scope;
    try {
        refuse_in_forked_child();
        return work();
    } catch (const QueueFull& full) {
        return fail(APTP_QUEUE_FULL, full.what(), full.retry_after());
    } catch (const Failure& failure) {
        return fail(to_c(failure.status()), failure.what());
    } catch (const std::bad_alloc&) {
        return fail(APTP_FAILURE, "out of memory");
    } catch (const std::exception& error) {
        return fail(APTP_FAILURE, std::string("failed unforeseen: ") + error.what());
    } catch (...) {
        return fail(APTP_FAILURE, "failed unforeseen, with what is no exception");
    }
}

// Refuse a place that is none of `count`. Throws Failure (usage).
void check_index(const char* what, std::int64_t index, std::size_t count);

// A pointer that a caller has to give. Throws Failure (usage).
template <typename Value>
Value& given(Value* pointer, const char* name) {
    if (pointer == nullptr) throw Failure(Status::usage, std::string(name) + ": NULL was given");
    return *pointer;
}

}  // namespace aptp::api
