// What an engine is specialised to.
#pragma once

#include <cstdint>
#include <string>
#include <tuple>

namespace aptp {

// A model and the shapes it is opened for, in latents. `rows` 0 leaves the batch open.
struct ShapeBucket {
    std::string model;
    std::int64_t rows = 0;
    std::int64_t height = 0;
    std::int64_t width = 0;

    friend bool operator==(const ShapeBucket& a, const ShapeBucket& b) { return a.tied() == b.tied(); }
    friend bool operator!=(const ShapeBucket& a, const ShapeBucket& b) { return !(a == b); }
    friend bool operator<(const ShapeBucket& a, const ShapeBucket& b) { return a.tied() < b.tied(); }

private:
    std::tuple<const std::string&, std::int64_t, std::int64_t, std::int64_t> tied() const {
        return {model, rows, height, width};
    }
};

}  // namespace aptp
