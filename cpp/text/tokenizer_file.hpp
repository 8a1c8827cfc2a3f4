// A Hugging Face *tokenizers* file, as far as this runtime knows what it may say: the kind that CLIP's text encoders
// have.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/pair_encoding.hpp"
#include "text/words.hpp"

namespace aptp {

enum class Normalization { compose, lower_case };

// A token that is found in the text as it is, before it is parted into words.
struct AddedToken {
    std::u32string content;
    std::int64_t id = 0;
    bool is_normalized = false;  // looked for in the text after normalization, and not before
};

struct TokenizerFile {
    std::vector<AddedToken> added;  // longest first
    std::vector<Normalization> normalizations;
    WordPattern pattern;
    PairEncoding::Vocabulary vocabulary;
    PairEncoding::Pairs merges;
    std::string suffix;
};

// The file in `data`; `name` is what messages call it. Throws Failure (manifest) for what is not such a file, and
// Failure (environment) for one that asks for what this runtime does not know.
TokenizerFile parse_tokenizer_file(std::string_view data, const std::string& name);

}  // namespace aptp
