// Arrays of float32 in C order, as engines take and give them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace aptp {

using Shape = std::vector<std::int64_t>;

// How many values an array of this shape holds.
std::size_t size_of(const Shape& shape);

// `(1, 77, 1024)`, as messages show a shape.
std::string text_of(const Shape& shape);

struct Tensor {
    Shape shape;
    std::vector<float> values;
};

// The UNet's inputs besides sample and time embedding, by name. In a call each is [B, ...], for one request [1, ...].
using Conditioning = std::map<std::string, std::shared_ptr<const Tensor>>;

}  // namespace aptp
