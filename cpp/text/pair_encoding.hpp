// Byte-pair encoding of words: bytes as characters, merged by rank, the last one of a word marked as such.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace aptp {

// A vocabulary with its merges. Immutable: any thread may use it.
class PairEncoding {
public:
    using Vocabulary = std::unordered_map<std::string, std::uint32_t>;
    using Pairs = std::vector<std::pair<std::string, std::string>>;  // by rank, the first merged first

    // `suffix` marks the end of a word; `file` is what messages call the file. Throws Failure (manifest) for merges of
    // or to what is not in the vocabulary, and Failure (environment) for a vocabulary that lacks a byte.
    PairEncoding(const Vocabulary& vocabulary, const Pairs& pairs, const std::string& suffix, const std::string& file);

    // Appends the ids of one word, UTF-8, not empty.
    void encode(std::string_view word, std::vector<std::int64_t>& ids) const;

private:
    struct Merge {
        std::uint32_t rank, id;
    };
    struct Symbol;

    const Merge* find(std::uint32_t first, std::uint32_t second) const;

    std::array<std::uint32_t, 256> inner_{}, last_{};  // the id of each byte, inside of a word and at its end
    std::unordered_map<std::uint64_t, Merge> merges_;
};

}  // namespace aptp
