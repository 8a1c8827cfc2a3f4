// Text to words, as CLIP's tokenizers part it: by classes of characters, and without the spaces between.
#pragma once

#include <string>
#include <vector>

#include "text/characters.hpp"

namespace aptp {

// The two patterns of a tokenizer file, one after the other. `literals` are what its first pattern takes whole before
// anything else; with `parts_again`, the second, which knows no literals and takes runs of numbers, parts what the
// first found.
struct WordPattern {
    std::vector<std::u32string> literals;
    bool parts_again = true;
};

// The words of `text`, in order; none is empty.
std::vector<std::u32string> split_words(const std::u32string& text, const WordPattern& pattern,
                                        const CharacterTables& tables);

}  // namespace aptp
