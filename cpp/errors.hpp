// Every error the runtime raises to its users: the tree of runtime/errors.py as numbers.
#pragma once

#include <stdexcept>
#include <string>
#include <vector>

namespace aptp {

// What went wrong. The numbers are those of the C ABI and never change; 0 is success, which no Failure carries.
enum class Status : int {
    ok = 0,
    failure = 1,            // of the runtime itself, in a way nothing below describes
    usage = 2,              // a value the caller gave cannot be used
    not_a_bundle = 3,       // there is no bundle at the path
    manifest = 4,           // the manifest, or a file of the bundle, breaks the format's rules
    integrity = 5,          // a file is not the one the manifest lists
    environment = 6,        // this machine or this build lacks what was asked for
    code_unavailable = 7,   // the bundle holds no expert for the code
    queue_full = 8,         // too many are waiting
    deadline_exceeded = 9,  // it was not done in time
    cancelled = 10,         // whoever asked took it back
    closed = 11,            // the runtime is closing
    cache = 12,             // a derived file could not be written
    output = 13,            // an image or a report could not be written
    engine = 14,            // an engine did not load, did not run, or returned nonsense
    unavailable = 15,       // a thread of the runtime did not start, died, or does not come back
    forked = 16,            // what a process opened is used in a child that it forked afterwards
};

// The name of a status in Python's tree, such as "ManifestError".
const char* name_of(Status status) noexcept;

// Any failure of the runtime. The message says what, where, and what to do.
class Failure : public std::runtime_error {
public:
    Failure(Status status, const std::string& message) : std::runtime_error(message), status_(status) {}

    Status status() const noexcept { return status_; }

private:
    Status status_;
};

// Too many requests are waiting; one may find room in `retry_after` seconds.
class QueueFull : public Failure {
public:
    QueueFull(const std::string& message, double retry_after)
        : Failure(Status::queue_full, message), retry_after_(retry_after) {}

    double retry_after() const noexcept { return retry_after_; }

private:
    double retry_after_;
};

// ` (did you mean 'x'?)` for the closest of `known`, or the empty string. Long names are not compared.
std::string nearest(const std::string& name, const std::vector<std::string>& known);

// `text` in quotes, with everything but printable ASCII escaped, and cut after `most` characters: text of strangers
// as messages may hold it. Bytes that are not UTF-8 are shown as they are, in hexadecimal.
std::string repr(const std::string& text, std::size_t most = 64);

}  // namespace aptp
