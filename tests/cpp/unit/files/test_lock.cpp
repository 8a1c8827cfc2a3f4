#include <doctest/doctest.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <system_error>

#include "errors.hpp"
#include "files/lock.hpp"

using aptp::Failure;
using aptp::Lock;

namespace {

// A folder, gone with the test.
struct LockFolder {
    LockFolder() {
        std::string name = (std::filesystem::temp_directory_path() / "aptp-lock-XXXXXX").string();
        if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("no folder for the test");
        path = name;
    }
    ~LockFolder() { std::filesystem::remove_all(path); }

    std::filesystem::path path;
};

std::string read(const std::filesystem::path& path) {
    std::string text;
    std::ifstream(path) >> text;
    return text;
}

}  // namespace

TEST_CASE("a lock names its holder, and is its owner's alone") {
    const LockFolder folder;
    const std::string own = std::to_string(::getpid());
    {
        const Lock held(folder.path / "lock", "wait", 0, 0600, {});
        CHECK(read(folder.path / "lock") == own);
        struct stat found {};
        REQUIRE(::stat((folder.path / "lock").c_str(), &found) == 0);
        CHECK((found.st_mode & 0777U) == 0600U);
        const std::string message = (folder.path / "lock").string() + ": locked by pid " + own + "; wait";
        CHECK_THROWS_WITH_AS(Lock(folder.path / "lock", "wait", 0, 0600, {}), message.c_str(), Failure);
    }
    CHECK_NOTHROW(Lock(folder.path / "lock", "wait", 0, 0600, {}));
}

TEST_CASE("it is waited for, and not for ever") {
    const LockFolder folder;
    const Lock held(folder.path / "lock", "wait", 0, 0600, {});
    const std::string message =
        (folder.path / "lock").string() + ": locked by pid " + std::to_string(::getpid()) + ", 1 s waited; wait";
    CHECK_THROWS_WITH_AS(Lock(folder.path / "lock", "wait", 1, 0600, {}), message.c_str(), Failure);
}

TEST_CASE("what is no file is refused and not waited for") {
    const LockFolder folder;
    REQUIRE(::mkfifo((folder.path / "pipe").c_str(), 0600) == 0);
    std::filesystem::create_directory(folder.path / "folder");
    std::filesystem::create_symlink(folder.path / "precious", folder.path / "link");
    for (const char* name : {"pipe", "folder", "link"}) {
        CAPTURE(name);
        CHECK_THROWS_AS(Lock(folder.path / name, "wait", 60, 0600, {}), std::system_error);
    }
    CHECK_FALSE(std::filesystem::exists(folder.path / "precious"));
}
