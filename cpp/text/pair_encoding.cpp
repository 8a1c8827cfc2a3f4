#include "text/pair_encoding.hpp"

#include <queue>

#include "errors.hpp"
#include "files/utf8.hpp"

namespace aptp {
namespace {

constexpr std::size_t NONE = static_cast<std::size_t>(-1);

std::uint64_t pair_key(std::uint32_t first, std::uint32_t second) { return (std::uint64_t{first} << 32) | second; }

// The character that stands for each byte in a vocabulary: itself where it is printable, else one from U+0100 on.
std::array<std::string, 256> byte_characters() {
    std::array<std::string, 256> characters;
    char32_t next = 0x100;
    for (char32_t byte = 0; byte < 256; ++byte) {
        const bool is_printable = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD);
        append_utf8(characters[byte], is_printable ? byte : next++);
    }
    return characters;
}

struct Candidate {
    std::uint32_t rank;
    std::size_t place;
    std::uint32_t id;

    // The lowest rank comes out of a queue first, and of equal ones the leftmost.
    bool operator<(const Candidate& other) const {
        return rank != other.rank ? rank > other.rank : place > other.place;
    }
};

}  // namespace

// A piece of a word, in a list: merging two takes the right one out.
struct PairEncoding::Symbol {
    std::uint32_t id;
    std::size_t before, after;
    bool is_gone = false;
};

PairEncoding::PairEncoding(const Vocabulary& vocabulary, const Pairs& pairs, const std::string& suffix,
                           const std::string& file) {
    const auto id_of = [&](const std::string& token, Status status, const char* what) {
        const auto found = vocabulary.find(token);
        if (found == vocabulary.end()) throw Failure(status, file + ": " + what + " " + repr(token));
        return found->second;
    };
    const std::array<std::string, 256> characters = byte_characters();
    for (std::size_t byte = 0; byte < 256; ++byte) {
        inner_[byte] = id_of(characters[byte], Status::environment, "this runtime needs every byte to be a token:");
        last_[byte] =
            id_of(characters[byte] + suffix, Status::environment, "this runtime needs every byte to be a token:");
    }
    std::uint32_t rank = 0;
    for (const auto& [first, second] : pairs) {
        constexpr const char* what = "is not a tokenizers file: merges something that is no token:";
        const std::uint64_t key = pair_key(id_of(first, Status::manifest, what), id_of(second, Status::manifest, what));
        merges_[key] = {rank++, id_of(first + second, Status::manifest, what)};
    }
}

const PairEncoding::Merge* PairEncoding::find(std::uint32_t first, std::uint32_t second) const {
    const auto found = merges_.find(pair_key(first, second));
    return found == merges_.end() ? nullptr : &found->second;
}

void PairEncoding::encode(std::string_view word, std::vector<std::int64_t>& ids) const {
    std::vector<Symbol> symbols;
    symbols.reserve(word.size());
    for (std::size_t place = 0; place < word.size(); ++place) {
        const auto byte = static_cast<unsigned char>(word[place]);
        const bool is_last = place + 1 == word.size();
        symbols.push_back(
            {is_last ? last_[byte] : inner_[byte], place == 0 ? NONE : place - 1, is_last ? NONE : place + 1});
    }
    std::priority_queue<Candidate> queue;
    const auto consider = [&](std::size_t place) {
        if (place == NONE || symbols[place].after == NONE) return;
        if (const Merge* merge = find(symbols[place].id, symbols[symbols[place].after].id)) {
            queue.push({merge->rank, place, merge->id});
        }
    };
    for (std::size_t place = 0; place < symbols.size(); ++place) consider(place);
    while (!queue.empty()) {
        const Candidate top = queue.top();
        queue.pop();
        Symbol& left = symbols[top.place];
        if (left.is_gone || left.after == NONE) continue;
        Symbol& right = symbols[left.after];
        // What was considered may have been merged with something else since.
        const Merge* merge = find(left.id, right.id);
        if (merge == nullptr || merge->id != top.id) continue;
        left.id = top.id;
        left.after = right.after;
        right.is_gone = true;
        if (right.after != NONE) symbols[right.after].before = top.place;
        consider(left.before);
        consider(top.place);
    }
    for (std::size_t place = 0; place != NONE; place = symbols[place].after) ids.push_back(symbols[place].id);
}

}  // namespace aptp
