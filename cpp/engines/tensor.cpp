#include "engines/tensor.hpp"

namespace aptp {

std::size_t size_of(const Shape& shape) {
    std::size_t size = 1;
    for (const std::int64_t side : shape) size *= static_cast<std::size_t>(side);
    return size;
}

std::string text_of(const Shape& shape) {
    std::string text;
    for (const std::int64_t side : shape) text += (text.empty() ? "" : ", ") + std::to_string(side);
    return "(" + text + (shape.size() == 1 ? ",)" : ")");
}

}  // namespace aptp
