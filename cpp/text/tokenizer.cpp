#include "text/tokenizer.hpp"

#include <algorithm>

#include "errors.hpp"
#include "files/utf8.hpp"
#include "text/characters.hpp"
#include "text/pair_encoding.hpp"
#include "text/tokenizer_file.hpp"
#include "text/words.hpp"

namespace aptp {
namespace {

using View = std::u32string_view;

const AddedToken* token_at(View text, const std::vector<AddedToken>& tokens) {
    const auto found = std::find_if(tokens.begin(), tokens.end(), [&](const AddedToken& token) {
        return text.substr(0, token.content.size()) == View(token.content);
    });
    return found == tokens.end() ? nullptr : &*found;
}

// Hands out the text between added tokens, and their ids, in order.
template <typename Text, typename Token>
void split_added(View text, const std::vector<AddedToken>& tokens, Text take_text, Token take_token) {
    std::size_t start = 0;
    for (std::size_t place = 0; place < text.size();) {
        const AddedToken* token = token_at(text.substr(place), tokens);
        if (token == nullptr) {
            ++place;
            continue;
        }
        if (place > start) take_text(text.substr(start, place - start));
        take_token(token->id);
        start = place += token->content.size();
    }
    if (start < text.size()) take_text(text.substr(start));
}

}  // namespace

struct Tokenizer::State {
    State(std::string_view data, const std::string& name, std::string_view characters, const std::string& tables_name)
        : State(parse_tokenizer_file(data, name), name, characters, tables_name) {}

    State(const TokenizerFile& file, const std::string& name, std::string_view characters,
          const std::string& tables_name)
        : tables(characters, tables_name),
          normalizations(file.normalizations),
          pattern(file.pattern),
          encoding(file.vocabulary, file.merges, file.suffix, name) {
        for (AddedToken token : file.added) {
            if (token.is_normalized) token.content = normalized(token.content);
            (token.is_normalized ? later : first).push_back(std::move(token));
        }
    }

    std::u32string normalized(std::u32string text) const {
        for (const Normalization step : normalizations) {
            text = step == Normalization::compose ? tables.compose(text) : tables.lower_case(text);
        }
        return text;
    }

    void encode_words(View text, std::vector<std::int64_t>& ids) const {
        std::string bytes;
        for (const std::u32string& word : split_words(std::u32string(text), pattern, tables)) {
            bytes.clear();
            for (const char32_t character : word) append_utf8(bytes, character);
            encoding.encode(bytes, ids);
        }
    }

    CharacterTables tables;
    std::vector<Normalization> normalizations;
    WordPattern pattern;
    PairEncoding encoding;
    std::vector<AddedToken> first, later;  // looked for before normalization, and after
};

Tokenizer::Tokenizer(TokenizerEntry entry, std::string_view data, std::string_view characters)
    : entry_(std::move(entry)),
      state_(std::make_unique<const State>(data, entry_.file, characters, entry_.characters)) {}

Tokenizer::~Tokenizer() = default;

std::shared_ptr<const Tokenizer> Tokenizer::load(const Bundle& bundle, const TokenizerEntry& entry) {
    return std::make_shared<const Tokenizer>(entry, bundle.files().read(entry.file),
                                             bundle.files().read(entry.characters));
}

Tokens Tokenizer::operator()(std::string_view prompt) const {
    const std::vector<std::int64_t> found = encode(prompt);
    const auto length = static_cast<std::size_t>(entry_.length);
    const std::size_t kept = std::min(found.size(), length - 2);
    Tokens tokens{std::vector<std::int64_t>(length, entry_.pad), std::vector<std::int64_t>(length, 0),
                  static_cast<std::int64_t>(found.size() - kept)};
    tokens.ids[0] = entry_.bos;
    std::copy_n(found.begin(), kept, tokens.ids.begin() + 1);
    tokens.ids[kept + 1] = entry_.eos;
    std::fill_n(tokens.mask.begin(), kept + 2, 1);
    return tokens;
}

std::vector<std::int64_t> Tokenizer::encode(std::string_view prompt) const {
    const std::u32string characters = prompt_characters(prompt);
    const State& state = *state_;
    std::vector<std::int64_t> ids;
    const auto take_token = [&](std::int64_t id) { ids.push_back(id); };
    split_added(
        characters, state.first,
        [&](View text) {
            const std::u32string normalized = state.normalized(std::u32string(text));
            split_added(normalized, state.later, [&](View part) { state.encode_words(part, ids); }, take_token);
        },
        take_token);
    return ids;
}

}  // namespace aptp
