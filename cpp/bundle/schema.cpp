#include "bundle/schema.hpp"

#include <algorithm>

namespace aptp {

std::vector<std::string> ModelEntry::paths() const {
    std::vector<std::string> found{graph};
    if (weights) found.push_back(*weights);
    if (serve) found.push_back(*serve);
    return found;
}

std::vector<float> SupernetGates::kept() const {
    std::vector<float> found;
    found.reserve(static_cast<std::size_t>(count));
    for (const char character : bits) {
        const int digit = character <= '9' ? character - '0' : character - 'a' + 10;
        for (int bit = 3; bit >= 0 && found.size() < static_cast<std::size_t>(count); --bit) {
            found.push_back((digit >> bit) & 1 ? 1.0F : 0.0F);
        }
    }
    return found;
}

const EncoderEntry& Manifest::encoder(const std::string& name) const {
    return *std::find_if(encoders.begin(), encoders.end(), [&](const auto& entry) { return entry.name == name; });
}

double Manifest::share(const std::string& expert) const {
    return static_cast<double>(experts.at(expert).macs) / static_cast<double>(dense_macs);
}

}  // namespace aptp
