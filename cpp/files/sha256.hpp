// SHA-256, in pieces or at once.
#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace aptp {

// A digest that grows. One thread at a time.
class Sha256 {
public:
    Sha256();
    ~Sha256();
    Sha256(const Sha256&) = delete;
    Sha256& operator=(const Sha256&) = delete;

    void update(const void* data, std::size_t size);

    // 64 lower-case hexadecimal digits of everything so far; nothing may follow.
    std::string hexadecimal();

private:
    struct State;
    std::unique_ptr<State> state_;
};

std::string sha256(std::string_view data);

}  // namespace aptp
