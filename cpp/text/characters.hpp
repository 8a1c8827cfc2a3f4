// The Unicode tables of a bundle (docs/BUNDLE.md, "Characters"): what the tokenizer's reference knows of characters.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace aptp {

// A set of characters, as runs.
class CharacterClass {
public:
    struct Run {
        char32_t first, last;
    };

    explicit CharacterClass(std::vector<Run> runs = {}) : runs_(std::move(runs)) {}

    bool holds(char32_t character) const noexcept;

private:
    std::vector<Run> runs_;  // ascending, none touching the next
};

// All tables of one file. Immutable: any thread may use it.
class CharacterTables {
public:
    // `data` is the file, `name` what messages call it. Throws Failure (manifest).
    CharacterTables(std::string_view data, const std::string& name);

    bool is_letter(char32_t character) const noexcept { return letters_.holds(character); }
    bool is_number(char32_t character) const noexcept { return numbers_.holds(character); }
    bool is_space(char32_t character) const noexcept { return spaces_.holds(character); }

    // Every character in lower case on its own, whatever its neighbours.
    std::u32string lower_case(const std::u32string& text) const;

    // Normalization form C.
    std::u32string compose(const std::u32string& text) const;

private:
    using Mapping = std::unordered_map<char32_t, std::u32string>;

    std::u32string decompose(const std::u32string& text) const;
    void order(std::u32string& text) const;
    char32_t composition(char32_t first, char32_t second) const;  // 0: there is none
    unsigned combining_class(char32_t character) const noexcept;

    CharacterClass letters_, numbers_, spaces_;
    Mapping lower_, decomposed_;
    std::unordered_map<std::uint64_t, char32_t> composed_;
    std::unordered_map<char32_t, unsigned> marks_;  // combining classes but 0
};

}  // namespace aptp
