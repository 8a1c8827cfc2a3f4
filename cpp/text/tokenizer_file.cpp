#include "text/tokenizer_file.hpp"

#include <algorithm>

#include "files/strict_json.hpp"
#include "files/utf8.hpp"

namespace aptp {
namespace {

constexpr DocumentCaps FILE_CAPS{64 * 1024 * 1024, 32};
constexpr std::size_t TOKENS = 1000;  // added ones, each of which is looked for everywhere
// What every pattern of CLIP's ends with; before it come literal texts, each followed by `|`.
constexpr std::string_view CLASSES = R"('s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+)";

// Reads one file, and knows its name for messages.
class Reader {
public:
    explicit Reader(const std::string& name) : name_(name) {}

    TokenizerFile read(const Json& file) const {
        TokenizerFile found;
        if (const Json* normalizer = optional(file, "normalizer")) read_normalizer(*normalizer, found);
        read_parting(object(file, "pre_tokenizer"), found.pattern);
        read_model(object(file, "model"), found);
        if (const Json* added = optional(file, "added_tokens")) read_added(*added, found);
        return found;
    }

private:
    Failure broken(const std::string& what) const {
        return {Status::manifest, name_ + ": is not a tokenizers file: " + what};
    }

    Failure unknown(const std::string& what) const {
        return {Status::environment, name_ + ": " + what + ", which this runtime does not know: it reads the " +
                                         "tokenizers of CLIP's text encoders; use the runtime in Python"};
    }

    // The field, or nothing where it is absent or null.
    static const Json* optional(const Json& value, const char* field) {
        if (!value.is_object()) return nullptr;
        const auto found = value.find(field);
        return found == value.end() || found->is_null() ? nullptr : &*found;
    }

    const Json& object(const Json& value, const char* field) const {
        const Json* found = optional(value, field);
        if (found == nullptr || !found->is_object()) throw broken(std::string("has no ") + field);
        return *found;
    }

    const Json& list(const Json& value, const char* field) const {
        const Json* found = optional(value, field);
        if (found == nullptr || !found->is_array()) throw broken(std::string("has no list ") + field);
        return *found;
    }

    std::string text(const Json& value, const char* field) const {
        const Json* found = optional(value, field);
        if (found == nullptr || !found->is_string()) throw broken(std::string("has no text ") + field);
        return found->get<std::string>();
    }

    bool flag(const Json& value, const char* field, bool otherwise) const {
        const Json* found = optional(value, field);
        if (found != nullptr && !found->is_boolean()) throw broken(std::string(field) + " is neither true nor false");
        return found == nullptr ? otherwise : found->get<bool>();
    }

    void read_normalizer(const Json& normalizer, TokenizerFile& file) const {
        const std::string type = text(normalizer, "type");
        if (type == "Sequence") {
            for (const Json& step : list(normalizer, "normalizers")) {
                if (text(step, "type") == "Sequence") throw unknown("nests its normalizers");
                read_normalizer(step, file);
            }
        } else if (type == "NFC") {
            add_step(Normalization::compose, file);
        } else if (type == "Lowercase") {
            add_step(Normalization::lower_case, file);
        } else if (type == "Replace") {
            // One space for many changes nothing about words, which have none in them.
            if (text(object(normalizer, "pattern"), "Regex") != R"(\s+)" || text(normalizer, "content") != " ") {
                throw unknown("replaces text");
            }
        } else {
            throw unknown("has a normalizer of type " + repr(type));
        }
    }

    void add_step(Normalization step, TokenizerFile& file) const {
        auto& steps = file.normalizations;
        // Each may lengthen a text: twice is none that a tokenizer needs, and a hundred times would fill the memory.
        if (std::find(steps.begin(), steps.end(), step) != steps.end()) throw unknown("normalizes twice in one way");
        steps.push_back(step);
    }

    void read_parting(const Json& parting, WordPattern& pattern) const {
        if (text(parting, "type") != "Sequence") throw unknown("parts words by " + repr(text(parting, "type")));
        const Json& steps = list(parting, "pretokenizers");
        if (steps.size() != 2 || text(steps[0], "type") != "Split" || text(steps[1], "type") != "ByteLevel") {
            throw unknown("parts words by other steps than Split and ByteLevel");
        }
        if (text(steps[0], "behavior") != "Removed" || !flag(steps[0], "invert", false)) {
            throw unknown("parts words by what is between them");
        }
        read_literals(text(object(steps[0], "pattern"), "Regex"), pattern);
        if (flag(steps[1], "add_prefix_space", true)) throw unknown("puts a space before words");
        pattern.parts_again = flag(steps[1], "use_regex", true);
    }

    // `<\|start\|>|` and the like: printable ASCII, what has a meaning in patterns escaped.
    void read_literals(const std::string& regex, WordPattern& pattern) const {
        const bool ends_right = regex.size() >= CLASSES.size() &&
                                regex.compare(regex.size() - CLASSES.size(), std::string::npos, CLASSES) == 0;
        if (!ends_right) throw unknown("parts words by the pattern " + repr(regex, 200));
        std::u32string literal;
        const std::size_t end = regex.size() - CLASSES.size();
        for (std::size_t place = 0; place < end; ++place) {
            const bool is_escaped = regex[place] == '\\' && place + 1 < end;
            const char one = regex[is_escaped ? ++place : place];
            const bool is_word = (one >= '0' && one <= '9') || (one >= 'A' && one <= 'Z') || (one >= 'a' && one <= 'z');
            if (!is_escaped && one == '|' && !literal.empty()) {
                pattern.literals.push_back(std::move(literal));
                literal.clear();
                continue;
            }
            const bool is_plain = is_word || one == '<' || one == '>' || one == '_';
            if (one <= ' ' || one > '~' || (is_escaped ? is_word : !is_plain)) {
                throw unknown("parts words by the pattern " + repr(regex, 200));
            }
            literal.push_back(static_cast<char32_t>(one));
        }
        if (!literal.empty()) throw unknown("parts words by the pattern " + repr(regex, 200));
    }

    void read_model(const Json& model, TokenizerFile& file) const {
        if (text(model, "type") != "BPE") throw unknown("has a model of type " + repr(text(model, "type")));
        const Json* prefix = optional(model, "continuing_subword_prefix");
        if (optional(model, "dropout") != nullptr || flag(model, "byte_fallback", false) ||
            flag(model, "ignore_merges", false) || (prefix != nullptr && *prefix != "")) {
            throw unknown("has a model with dropout, a prefix, or other than by its merges");
        }
        if (optional(model, "end_of_word_suffix") != nullptr) file.suffix = text(model, "end_of_word_suffix");
        for (const auto& [token, id] : object(model, "vocab").items()) {
            file.vocabulary.emplace(token, static_cast<std::uint32_t>(as_integer(id, name_, 0, UINT32_MAX)));
        }
        for (const Json& merge : list(model, "merges")) file.merges.push_back(pair_of(merge));
    }

    // Files have `["a", "b"]`, older ones `"a b"`.
    std::pair<std::string, std::string> pair_of(const Json& merge) const {
        if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
            return {merge[0].get<std::string>(), merge[1].get<std::string>()};
        }
        const std::string line = merge.is_string() ? merge.get<std::string>() : "";
        const std::size_t space = line.find(' ');
        if (space == std::string::npos || line.find(' ', space + 1) != std::string::npos) {
            throw broken("a merge is not of two tokens");
        }
        return {line.substr(0, space), line.substr(space + 1)};
    }

    void read_added(const Json& tokens, TokenizerFile& file) const {
        if (!tokens.is_array()) throw broken("its added tokens are no list");
        if (tokens.size() > TOKENS) throw unknown("adds more than " + std::to_string(TOKENS) + " tokens");
        for (const Json& token : tokens) {
            const std::string content = text(token, "content");
            if (flag(token, "single_word", false) || flag(token, "lstrip", false) || flag(token, "rstrip", false) ||
                content.find_first_of(" \t\n\v\f\r") != std::string::npos) {
                throw unknown("adds tokens that take spaces with them");
            }
            if (content.empty()) continue;
            const auto known = file.vocabulary.find(content);
            const std::int64_t id = known != file.vocabulary.end()
                                        ? known->second
                                        : as_integer(object_field(token, "id"), name_, 0, UINT32_MAX);
            file.added.push_back({*from_utf8(content), id, flag(token, "normalized", true)});
        }
        std::stable_sort(file.added.begin(), file.added.end(), [](const AddedToken& one, const AddedToken& other) {
            return one.content.size() > other.content.size();
        });
    }

    const Json& object_field(const Json& value, const char* field) const {
        const Json* found = optional(value, field);
        if (found == nullptr) throw broken(std::string("a token has no ") + field);
        return *found;
    }

    const std::string& name_;
};

}  // namespace

TokenizerFile parse_tokenizer_file(std::string_view data, const std::string& name) {
    return Reader(name).read(decode(data, name, FILE_CAPS));
}

}  // namespace aptp
