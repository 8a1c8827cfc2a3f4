#include <doctest/doctest.h>

#include "errors.hpp"

using aptp::nearest;
using aptp::repr;

TEST_CASE("the nearest name is guessed, and a far one is not") {
    CHECK(nearest("ddin", {"ddim", "plms"}) == " (did you mean 'ddim'?)");
    CHECK(nearest("rooter", {"router", "decoder"}) == " (did you mean 'router'?)");
    CHECK(nearest("x", {"ddim", "plms"}).empty());
    CHECK(nearest("", {"ddim"}).empty());
    CHECK(nearest(std::string(65, 'a'), {std::string(65, 'a')}).empty());
}

TEST_CASE("strangers' text is shown as printable ASCII, and short") {
    CHECK(repr("plain") == "'plain'");
    CHECK(repr("it's") == "\"it's\"");
    CHECK(repr("'\"") == "'\\'\"'");
    CHECK(repr("\n\t\x01\x7f\\") == "'\\n\\t\\x01\\x7f\\\\'");
    CHECK(repr("é中🙂") == "'\\xe9\\u4e2d\\U0001f642'");
    CHECK(repr("\xff\x80") == "'\\xff\\x80'");
    CHECK(repr("abcdef", 3) == "'abc'");
}

TEST_CASE("every status has the name of its class in Python") {
    CHECK(aptp::name_of(aptp::Status::ok) == std::string("ok"));
    CHECK(aptp::name_of(aptp::Status::manifest) == std::string("ManifestError"));
    CHECK(aptp::name_of(aptp::Status::engine) == std::string("EngineFailure"));
    CHECK(aptp::name_of(aptp::Status::unavailable) == std::string("Unavailable"));
    CHECK(aptp::name_of(aptp::Status::forked) == std::string("Forked"));
    CHECK(aptp::Failure(aptp::Status::usage, "what").status() == aptp::Status::usage);
    CHECK(aptp::QueueFull("full", 1.5).retry_after() == 1.5);
}
