#include "models/unpacked.hpp"

#include <cstdint>
#include <cstring>
#include <vector>

#include "errors.hpp"
#include "files/sha256.hpp"

namespace aptp {

namespace {

constexpr std::size_t CHUNK = 1 << 18;  // floats that are looked at together
constexpr std::uint32_t INFINITE = 0x7f800000U;
constexpr std::uint32_t BIAS = (127U - 15U) << 23;      // between the exponents of both
constexpr std::uint32_t NORMAL = BIAS + (1U << 23);     // the least normal half
constexpr std::uint32_t LEAST = (127U - 24U) << 23;     // the least half above zero, 2^-24
constexpr std::uint32_t BEYOND = BIAS + (0x1fU << 23);  // 2^16, where halves end

float widened(std::uint16_t half) {
    const std::uint32_t sign = std::uint32_t{half & 0x8000U} << 16;
    const std::uint32_t bits = std::uint32_t{half & 0x7fffU} << 13;
    std::uint32_t wide = 0;
    if (bits >= (0x7c00U << 13)) {  // infinities, and values that are no numbers
        wide = sign | INFINITE | (bits & 0x007fe000U);
    } else if (bits >= (0x0400U << 13)) {
        wide = sign | (bits + BIAS);
    } else {  // below the normal ones: a whole number of 2^-24
        const float value = static_cast<float>(bits >> 13) * 0x1p-24F;
        std::memcpy(&wide, &value, sizeof wide);
        wide |= sign;
    }
    float result = 0;
    std::memcpy(&result, &wide, sizeof result);
    return result;
}

std::uint32_t bits_of(float value) {
    std::uint32_t bits = 0;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
}

// The half whose float this is; of others, any.
std::uint16_t narrowed(float value) {
    const std::uint32_t bits = bits_of(value);
    const std::uint32_t size = bits & 0x7fffffffU;
    std::uint32_t half = 0;
    if (size >= INFINITE) {
        half = 0x7c00U | (size >> 13 & 0x03ffU);
    } else if (size >= NORMAL && size < BEYOND) {
        half = (size - BIAS) >> 13;
    } else if (size >= LEAST && size < NORMAL) {
        float small = 0;
        std::memcpy(&small, &size, sizeof small);
        half = static_cast<std::uint32_t>(small * 0x1p24F);
    }
    return static_cast<std::uint16_t>(half | (bits >> 16 & 0x8000U));
}

}  // namespace

UnpackedFiles::UnpackedFiles(std::filesystem::path root, const FileEntry& graph, const FileEntry& weights,
                             std::string remedy)
    : VerifiedFiles(std::move(root), {{GRAPH, graph}, {DATA, {2 * weights.size, weights.sha256}}}, std::move(remedy)) {}

std::string UnpackedFiles::digest(const std::string& path, const Descriptor& file) const {
    if (path != DATA) return VerifiedFiles::digest(path, file);
    Sha256 found;
    std::vector<float> floats(CHUNK);
    std::vector<char> halves(2 * CHUNK);
    for (;;) {
        const std::string chunk = read_up_to(file, 4 * CHUNK, place(path));
        if (chunk.empty()) return found.hexadecimal();
        const std::size_t count = chunk.size() / 4;
        std::memcpy(floats.data(), chunk.data(), 4 * count);
        if (chunk.size() % 4 != 0 || !narrow(floats.data(), count, halves.data())) {
            throw Failure(Status::integrity, place(path) + ": holds values beyond float16; " + remedy());
        }
        found.update(halves.data(), 2 * count);
    }
}

void widen(const char* halves, std::size_t count, float* out) {
    for (std::size_t index = 0; index < count; ++index) {
        std::uint16_t half = 0;
        std::memcpy(&half, halves + 2 * index, sizeof half);
        out[index] = widened(half);
    }
}

bool narrow(const float* floats, std::size_t count, char* out) {
    bool is_exact = true;
    for (std::size_t index = 0; index < count; ++index) {
        const std::uint16_t half = narrowed(floats[index]);
        is_exact &= bits_of(widened(half)) == bits_of(floats[index]);
        std::memcpy(out + 2 * index, &half, sizeof half);
    }
    return is_exact;
}

}  // namespace aptp
