#include <doctest/doctest.h>

#include <string>

#include "files/strict_json.hpp"

using namespace std::string_literals;
using aptp::decode;
using aptp::Failure;
using aptp::Fields;
using aptp::Json;

namespace {

std::string nested(int depth) {
    return "{\"a\":" + std::string(static_cast<std::size_t>(depth - 1), '[') +
           std::string(static_cast<std::size_t>(depth - 1), ']') + "}";
}

}  // namespace

TEST_CASE("depth is counted in containers, empty ones too") {
    CHECK_NOTHROW(decode(nested(32), "x"));
    CHECK_THROWS_WITH_AS(decode(nested(33), "x"), "x: nested deeper than 32 levels", Failure);
}

TEST_CASE("integers end at 2^53, on both sides") {
    CHECK(decode(R"({"a":9007199254740992})", "x")["a"].get<std::int64_t>() == std::int64_t{1} << 53);
    CHECK(decode(R"({"a":-9007199254740992})", "x")["a"].get<std::int64_t>() == -(std::int64_t{1} << 53));
    for (const char* text : {"9007199254740993", "-9007199254740993", "18446744073709551616", "-9223372036854775809"}) {
        CHECK_THROWS_AS(decode("{\"a\":"s + text + "}", "x"), Failure);
    }
}

TEST_CASE("what other readers take for JSON is refused") {
    for (const std::string& text :
         {"\xEF\xBB\xBF{}"s, "{}\0"s, "{}\0x"s, "{\"a\":1,\"a\":2}"s, "{\"a\":NaN}"s, "{\"a\":1e999}"s,
          "{\"a\":\"\\ud800\"}"s, "{\"a\":\"\xED\xA0\x80\"}"s, "[]"s, ""s, "{} x"s, "/**/{}"s}) {
        CAPTURE(text);
        CHECK_THROWS_AS(decode(text, "x"), Failure);
    }
    CHECK_THROWS_AS(decode("{\"a\": \"" + std::string(aptp::DOCUMENT_BYTES, 'x') + "\"}", "x"), Failure);
}

TEST_CASE("fields are taken by name and type, and what is left is refused") {
    const Json value = decode(R"({"i":3,"b":true,"s":"text","n":1.5,"l":[1,2],"o":{"k":"v"}})", "x");
    Fields fields(value, "x");
    CHECK(fields.integer("i", 0, 3) == 3);
    CHECK_THROWS_WITH_AS(fields.integer("i", 4, 5), "x.i: 3 is outside 4 to 5", Failure);
    CHECK_THROWS_WITH_AS(fields.integer("b"), "x.b: must be an integer, not a boolean", Failure);
    CHECK_THROWS_WITH_AS(fields.integer("n"), "x.n: must be an integer, not a number", Failure);
    CHECK(fields.number("i") == 3.0);
    CHECK(fields.flag("b"));
    CHECK_THROWS_WITH_AS(fields.text("s", {"test", "next"}),
                         "x.s: 'text' is not one of 'test', 'next' (did you mean 'test'?)", Failure);
    CHECK_THROWS_WITH_AS(fields.raw("z"), "x: the field 'z' is missing", Failure);
    CHECK_THROWS_WITH_AS(fields.close(), "x: unknown field 'l'", Failure);
    CHECK(fields.items("l", [](const Json& item, const std::string& where) { return aptp::as_integer(item, where); }) ==
          std::vector<std::int64_t>{1, 2});
    CHECK(fields.texts("o").at("k") == "v");
    CHECK_NOTHROW(fields.close());
    CHECK_NOTHROW(Fields(value, "x", true).close());
}

TEST_CASE("texts are counted in characters") {
    std::string text;
    for (int count = 0; count < 4096; ++count) text += "é";
    CHECK(aptp::as_text(Json(text), "x") == text);
    CHECK_THROWS_AS(aptp::as_text(Json(text + "é"), "x"), Failure);
    CHECK_THROWS_AS(aptp::as_text(Json(""), "x"), Failure);
    CHECK_THROWS_AS(aptp::as_text(Json("a\0b"s), "x"), Failure);
}

TEST_CASE("what a format keeps for later is refused by name, wherever its path leads") {
    const std::vector<aptp::Reserved> table{{"kind=b", "only 'a' is read"}, {"lists.*.tables.*.late", "not yet"}};
    const auto refuse = [&](const std::string& text) { aptp::refuse_reserved(decode(text, "x"), "x", table); };
    CHECK_NOTHROW(refuse(R"({"kind":"a","late":1,"lists":[{"late":1,"tables":{"late":{}}},7]})"));
    CHECK_THROWS_WITH_AS(refuse(R"({"kind":"b"})"), "x.kind 'b': only 'a' is read", Failure);
    CHECK_THROWS_WITH_AS(refuse(R"({"lists":[1,{"tables":{"k":{"late":null}}}]})"),
                         "x.lists[1].tables 'k'.late: not yet", Failure);
}
