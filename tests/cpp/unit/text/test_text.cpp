#include <doctest/doctest.h>

#include "errors.hpp"
#include "text/characters.hpp"
#include "text/pair_encoding.hpp"
#include "text/prompt.hpp"
#include "text/words.hpp"
#include "files/utf8.hpp"

using aptp::CharacterTables;
using aptp::Failure;

namespace {

const CharacterTables& tables() {
    static const CharacterTables found(
        R"({"format":"aptp-characters","source":"by hand","novelty":1,"letters":[65,90,97,122,233,233,7865,7879],)"
        R"("numbers":[48,57],"spaces":[9,13,32,32],"lower":[[65,97],[304,105,775]],)"
        R"("decomposed":[[233,101,769],[7865,101,803],[7879,101,803,770]],)"
        R"("composed":[[101,769,233],[101,803,7865],[7865,770,7879]],"marks":[[768,788,230],[803,803,220]]})",
        "characters.json");
    return found;
}

std::string words_of(const std::u32string& text, const aptp::WordPattern& pattern) {
    std::string all;
    for (const std::u32string& word : aptp::split_words(text, pattern, tables())) {
        for (const char32_t character : word) aptp::append_utf8(all, character);
        all += "|";
    }
    return all;
}

}  // namespace

TEST_CASE("UTF-8 is read strictly") {
    CHECK(*aptp::from_utf8("aé中🙂") == U"aé中🙂");
    for (const char* text :
         {"\x80", "\xC0\x80", "\xC3", "\xE0\x80\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xFF", "\xE4\xB8"}) {
        CHECK_FALSE(aptp::from_utf8(text));
    }
    std::string text;
    for (const char32_t character : {U'a', U'\u00e9', U'\uffff', U'\U0010ffff'}) aptp::append_utf8(text, character);
    CHECK(*aptp::from_utf8(text) == U"a\u00e9\uffff\U0010ffff");
    CHECK(aptp::count_utf8("aé中🙂") == 4);
}

TEST_CASE("a prompt is text of at most 10,000 characters") {
    CHECK(aptp::check_prompt("").empty());
    CHECK(aptp::prompt_characters(std::string(10'000, 'x')).size() == 10'000);
    CHECK_THROWS_WITH_AS(
        aptp::check_prompt(std::string(10'001, 'x')),
        ("the prompt '" + std::string(32, 'x') + "'… has 10001 characters; shorten it to 10000").c_str(), Failure);
    CHECK_THROWS_AS(aptp::check_prompt(std::string_view("a\0b", 3)), Failure);
    CHECK_THROWS_AS(aptp::check_prompt("\xED\xA0\x80"), Failure);
    CHECK_THROWS_AS(aptp::check_prompt(std::string(1'000'000, '\x80')), Failure);
}

TEST_CASE("composition follows the tables, and Hangul its arithmetic") {
    CHECK(tables().compose(U"e\u0301") == U"\u00e9");
    CHECK(tables().compose(U"\u00e9") == U"\u00e9");
    CHECK(tables().compose(U"e\u0302\u0323") == U"\u1ec7");  // marks are put in order first
    CHECK(tables().compose(U"e\u0301\u0301") == U"\u00e9\u0301");
    CHECK(tables().compose(U"e\u0300\u0301") == U"e\u0300\u0301");  // blocked by a mark of the same class
    CHECK(tables().compose(U"\u0301e") == U"\u0301e");
    CHECK(tables().compose(U"\u1112\u1161\u11ab") == U"\ud55c");
    CHECK(tables().compose(U"\ud558\u11ab") == U"\ud55c");
    CHECK(tables().compose(U"\ud55c\u11ab") == U"\ud55c\u11ab");
    CHECK(tables().lower_case(U"AB\u0130") == U"aBi\u0307");
}

TEST_CASE("text is parted by classes, and spaces are dropped") {
    CHECK(words_of(U"it's 42 cats, they'll", {}) == "it|'s|4|2|cats|,|they|'ll|");
    CHECK(words_of(U"!'s a", {}) == "!'|s|a|");
    CHECK(words_of(U"<x>42", {{U"<x>42"}, true}) == "<|x|>|42|");
    CHECK(words_of(U"<x>42", {{U"<x>42"}, false}) == "<x>42|");
    CHECK(words_of(U" \t\n", {}).empty());
}

TEST_CASE("merges go by rank, and the leftmost of equals first") {
    aptp::PairEncoding::Vocabulary vocabulary;
    const auto add = [&](const std::string& token) {
        vocabulary.emplace(token, static_cast<std::uint32_t>(vocabulary.size()));
    };
    char32_t other = 0x100;
    for (char32_t byte = 0; byte < 256; ++byte) {
        std::string token;
        aptp::append_utf8(token, (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD) ? byte : other++);
        add(token);
        add(token + "</w>");
    }
    const std::uint32_t aa = static_cast<std::uint32_t>(vocabulary.size());
    for (const char* token : {"aa", "aa</w>", "ab", "aab"}) add(token);
    const aptp::PairEncoding encoding(vocabulary, {{"a", "a"}, {"a", "b"}, {"a", "a</w>"}}, "</w>", "x");
    const auto ids = [&](const char* word) {
        std::vector<std::int64_t> found;
        encoding.encode(word, found);
        return found;
    };
    CHECK(ids("a") == std::vector<std::int64_t>{vocabulary.at("a</w>")});
    CHECK(ids("aa") == std::vector<std::int64_t>{aa + 1});
    CHECK(ids("aaa") == std::vector<std::int64_t>{aa, vocabulary.at("a</w>")});
    CHECK(ids("aabx") == std::vector<std::int64_t>{aa, vocabulary.at("b"), vocabulary.at("x</w>")});
    CHECK_THROWS_AS(aptp::PairEncoding(vocabulary, {{"a", "q"}}, "</w>", "x"), Failure);
    vocabulary.erase("!");
    CHECK_THROWS_AS(aptp::PairEncoding(vocabulary, {}, "</w>", "x"), Failure);
}

TEST_CASE("tables that are none are refused") {
    for (const char* text :
         {"{}", R"({"format":"aptp-characters"})", "[", R"({"format":"aptp-characters","letters":[1]})"}) {
        CHECK_THROWS_AS(CharacterTables(text, "x"), Failure);
    }
}
