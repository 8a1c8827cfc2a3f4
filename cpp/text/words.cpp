#include "text/words.hpp"

#include <array>
#include <string_view>

namespace aptp {
namespace {

using View = std::u32string_view;

constexpr std::array<View, 7> CONTRACTIONS{U"'s", U"'t", U"'re", U"'ve", U"'m", U"'ll", U"'d"};

enum class Kind { letter, number, space, other };

Kind kind_of(char32_t character, const CharacterTables& tables) {
    if (tables.is_letter(character)) return Kind::letter;
    if (tables.is_number(character)) return Kind::number;
    return tables.is_space(character) ? Kind::space : Kind::other;
}

template <typename Texts>
std::size_t prefix(View text, const Texts& candidates) {
    for (const auto& candidate : candidates) {
        if (text.substr(0, candidate.size()) == View(candidate)) return candidate.size();
    }
    return 0;
}

std::size_t run(View text, Kind kind, const CharacterTables& tables) {
    std::size_t length = 1;
    while (length < text.size() && kind_of(text[length], tables) == kind) ++length;
    return length;
}

// The pattern of the second parting, `'s|…|\p{L}+|\p{N}+|[^\s\p{L}\p{N}]+`, of a word without spaces.
void part_again(View word, const CharacterTables& tables, std::vector<std::u32string>& words) {
    while (!word.empty()) {
        std::size_t length = prefix(word, CONTRACTIONS);
        if (length == 0) length = run(word, kind_of(word[0], tables), tables);
        words.emplace_back(word.substr(0, length));
        word.remove_prefix(length);
    }
}

}  // namespace

std::vector<std::u32string> split_words(const std::u32string& text, const WordPattern& pattern,
                                        const CharacterTables& tables) {
    std::vector<std::u32string> words;
    for (View left = text; !left.empty();) {
        std::size_t length = prefix(left, pattern.literals);
        if (length == 0) length = prefix(left, CONTRACTIONS);
        const Kind kind = kind_of(left[0], tables);
        if (length == 0) length = kind == Kind::number ? 1 : run(left, kind, tables);
        const bool is_space = length > 0 && kind == Kind::space;
        if (!is_space && pattern.parts_again) {
            part_again(left.substr(0, length), tables, words);
        } else if (!is_space) {
            words.emplace_back(left.substr(0, length));
        }
        left.remove_prefix(length);
    }
    return words;
}

}  // namespace aptp
