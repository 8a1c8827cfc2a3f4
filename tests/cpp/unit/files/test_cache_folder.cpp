#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "errors.hpp"
#include "files/cache_folder.hpp"

namespace fs = std::filesystem;
using aptp::find_fault;

TEST_CASE("a folder that others can write is refused") {
    std::string name = (fs::temp_directory_path() / "aptp-folder-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    const fs::path folder = fs::path(name) / "deep" / "cache";
    const mode_t before = ::umask(0);
    aptp::make_folder(folder);
    ::umask(before);
    const auto with_mode = [&](mode_t mode) {
        REQUIRE(::chmod(folder.c_str(), mode) == 0);
        return find_fault(folder);
    };
    CHECK_FALSE(find_fault(folder));
    CHECK_FALSE(with_mode(0755));
    CHECK(with_mode(0777) == "can be written by every user: run `chmod o-w` on it");
    CHECK(with_mode(01777));
    CHECK(with_mode(02770) ==
          "can be written by its group: run `chmod g-w` on it, or trust them by --cache-group-writable");
    CHECK_FALSE(find_fault(folder, true));
    CHECK_THROWS_AS(aptp::check_folder(folder), aptp::Failure);
    CHECK_FALSE(find_fault(folder / "none"));
    fs::remove_all(name);
}

TEST_CASE("a private folder is made once, and told once") {
    int told = 0;
    const auto warn = [&](const std::string& message) {
        ++told;
        CHECK(message.rfind("no home; weights are unpacked into ", 0) == 0);
    };
    const fs::path folder = aptp::private_folder("no home", warn);
    CHECK(aptp::private_folder("no home", warn) == folder);
    CHECK(told == 1);
    CHECK_FALSE(find_fault(folder));
}
