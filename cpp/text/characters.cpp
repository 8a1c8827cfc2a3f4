#include "text/characters.hpp"

#include <algorithm>

#include "files/strict_json.hpp"

namespace aptp {
namespace {

constexpr DocumentCaps TABLE_CAPS{4 * 1024 * 1024, 4};

Failure refusal(const std::string& where, const char* message) { return {Status::manifest, where + ": " + message}; }

char32_t as_character(const Json& value, const std::string& where) {
    const std::int64_t number = as_integer(value, where, 0, 0x10FFFF);
    if (number >= 0xD800 && number <= 0xDFFF) throw refusal(where, "is half of a surrogate pair");
    return static_cast<char32_t>(number);
}

CharacterClass parse_class(Fields& fields, const char* name) {
    const std::vector<char32_t> ends = fields.items(name, as_character);
    if (ends.size() % 2 != 0 || !std::is_sorted(ends.begin(), ends.end())) {
        throw fields.error(name, "must be first and last of ascending runs");
    }
    std::vector<CharacterClass::Run> runs;
    for (std::size_t index = 0; index < ends.size(); index += 2) runs.push_back({ends[index], ends[index + 1]});
    return CharacterClass(std::move(runs));
}

// Rows of characters, each `least` to `most` long.
std::vector<std::u32string> parse_rows(Fields& fields, const char* name, std::size_t least, std::size_t most) {
    return fields.items(name, [&](const Json& value, const std::string& where) {
        if (!value.is_array() || value.size() < least || value.size() > most) {
            throw refusal(where, "is not a row of this table");
        }
        std::u32string row;
        for (const Json& item : value) row.push_back(as_character(item, where));
        return row;
    });
}

std::uint64_t pair_key(char32_t first, char32_t second) { return (std::uint64_t{first} << 32) | second; }

// Syllables of Hangul are composed by arithmetic (The Unicode Standard, 3.12).
constexpr char32_t SYLLABLE = 0xAC00, LEADING = 0x1100, VOWEL = 0x1161, TRAILING = 0x11A7;
constexpr char32_t LEADINGS = 19, VOWELS = 21, TRAILINGS = 28, SYLLABLES = LEADINGS * VOWELS * TRAILINGS;

bool is_syllable(char32_t character) { return character >= SYLLABLE && character < SYLLABLE + SYLLABLES; }

void append_syllable(std::u32string& out, char32_t character) {
    const char32_t index = character - SYLLABLE;
    out.push_back(LEADING + index / (VOWELS * TRAILINGS));
    out.push_back(VOWEL + index % (VOWELS * TRAILINGS) / TRAILINGS);
    if (index % TRAILINGS != 0) out.push_back(TRAILING + index % TRAILINGS);
}

char32_t syllable(char32_t first, char32_t second) {
    if (first >= LEADING && first < LEADING + LEADINGS && second >= VOWEL && second < VOWEL + VOWELS) {
        return SYLLABLE + ((first - LEADING) * VOWELS + (second - VOWEL)) * TRAILINGS;
    }
    const bool is_open = is_syllable(first) && (first - SYLLABLE) % TRAILINGS == 0;
    if (is_open && second > TRAILING && second < TRAILING + TRAILINGS) return first + (second - TRAILING);
    return 0;
}

}  // namespace

bool CharacterClass::holds(char32_t character) const noexcept {
    const auto after = std::upper_bound(runs_.begin(), runs_.end(), character,
                                        [](char32_t value, const Run& run) { return value < run.first; });
    return after != runs_.begin() && character <= std::prev(after)->last;
}

CharacterTables::CharacterTables(std::string_view data, const std::string& name) {
    const Json value = decode(data, name, TABLE_CAPS);
    Fields fields(value, name, true);
    fields.text("format", {"aptp-characters"});
    letters_ = parse_class(fields, "letters");
    numbers_ = parse_class(fields, "numbers");
    spaces_ = parse_class(fields, "spaces");
    for (const std::u32string& row : parse_rows(fields, "lower", 2, 8)) lower_[row[0]] = row.substr(1);
    for (const std::u32string& row : parse_rows(fields, "decomposed", 2, 8)) decomposed_[row[0]] = row.substr(1);
    for (const std::u32string& row : parse_rows(fields, "composed", 3, 3)) {
        composed_[pair_key(row[0], row[1])] = row[2];
    }
    char32_t next = 0;
    for (const std::u32string& row : parse_rows(fields, "marks", 3, 3)) {
        const bool is_run = next <= row[0] && row[0] <= row[1];  // ascending, so that no character comes twice
        if (!is_run || row[2] == 0 || row[2] > 254) throw fields.error("marks", "holds a row that is none");
        next = row[1] + 1;
        for (char32_t character = row[0]; character <= row[1]; ++character) marks_[character] = row[2];
    }
}

std::u32string CharacterTables::lower_case(const std::u32string& text) const {
    std::u32string result;
    result.reserve(text.size());
    for (const char32_t character : text) {
        const auto found = lower_.find(character);
        if (found == lower_.end()) {
            result.push_back(character);
        } else {
            result += found->second;
        }
    }
    return result;
}

std::u32string CharacterTables::compose(const std::u32string& text) const {
    std::u32string ordered = decompose(text);
    order(ordered);
    std::u32string result;
    result.reserve(ordered.size());
    std::size_t starter = std::u32string::npos;  // where in the result is what the next mark may compose with
    unsigned last = 0;                           // the class of what the result ends with
    for (const char32_t character : ordered) {
        const unsigned mark = combining_class(character);
        if (starter != std::u32string::npos && (starter + 1 == result.size() || last < mark)) {
            if (const char32_t whole = composition(result[starter], character)) {
                result[starter] = whole;
                continue;
            }
        }
        if (mark == 0) starter = result.size();
        last = mark;
        result.push_back(character);
    }
    return result;
}

std::u32string CharacterTables::decompose(const std::u32string& text) const {
    std::u32string result;
    result.reserve(text.size());
    for (const char32_t character : text) {
        if (is_syllable(character)) {
            append_syllable(result, character);
        } else if (const auto found = decomposed_.find(character); found != decomposed_.end()) {
            result += found->second;
        } else {
            result.push_back(character);
        }
    }
    return result;
}

void CharacterTables::order(std::u32string& text) const {
    const auto is_starter = [this](char32_t character) { return combining_class(character) == 0; };
    for (auto start = text.begin(); start != text.end();) {
        start = std::find_if_not(start, text.end(), is_starter);
        const auto end = std::find_if(start, text.end(), is_starter);
        std::stable_sort(
            start, end, [this](char32_t one, char32_t other) { return combining_class(one) < combining_class(other); });
        start = end;
    }
}

char32_t CharacterTables::composition(char32_t first, char32_t second) const {
    if (const char32_t whole = syllable(first, second)) return whole;
    const auto found = composed_.find(pair_key(first, second));
    return found == composed_.end() ? 0 : found->second;
}

unsigned CharacterTables::combining_class(char32_t character) const noexcept {
    const auto found = marks_.find(character);
    return found == marks_.end() ? 0 : found->second;
}

}  // namespace aptp
