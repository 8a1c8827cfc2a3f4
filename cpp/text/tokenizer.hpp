// Prompts to token ids (docs/BUNDLE.md, "Prompts").
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "bundle/reader.hpp"
#include "bundle/schema.hpp"
#include "text/prompt.hpp"

namespace aptp {

// `ids` and `mask`, int64 [1, length]; `dropped` counts the tokens that did not fit.
struct Tokens {
    std::vector<std::int64_t> ids;
    std::vector<std::int64_t> mask;
    std::int64_t dropped = 0;
};

// A tokenizer file, the Unicode tables it needs, and its frame. Immutable: any thread may use it.
class Tokenizer {
public:
    // `data` is the tokenizer file, `characters` that of the tables. Throws Failure (manifest) for what is neither, and
    // Failure (environment) for a tokenizer that this runtime does not know.
    Tokenizer(TokenizerEntry entry, std::string_view data, std::string_view characters);
    ~Tokenizer();

    // Read the tokenizer that `entry` names. Throws Failure (integrity, manifest, environment).
    static std::shared_ptr<const Tokenizer> load(const Bundle& bundle, const TokenizerEntry& entry);

    // The ids of a prompt, framed by bos and eos, padded, and cut to fit. Throws Failure (usage).
    Tokens operator()(std::string_view prompt) const;

    // All ids of a prompt, and nothing else. Throws Failure (usage).
    std::vector<std::int64_t> encode(std::string_view prompt) const;

private:
    struct State;
    TokenizerEntry entry_;
    std::unique_ptr<const State> state_;
};

}  // namespace aptp
