#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <thread>

#include "files/verified.hpp"
#include "files/sha256.hpp"
#include "errors.hpp"

using aptp::Failure;
using aptp::VerifiedFiles;

namespace {

// A folder with one file, gone with the test.
struct Folder {
    Folder() {
        std::string name = (std::filesystem::temp_directory_path() / "aptp-files-XXXXXX").string();
        if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("no folder for the test");
        path = name;
        std::filesystem::create_directory(path / "sub");
        write("abc");
    }
    ~Folder() { std::filesystem::remove_all(path); }

    void write(const std::string& data) const { std::ofstream(path / "sub/file", std::ios::binary) << data; }

    VerifiedFiles files(const std::string& data = "abc") const {
        return {path, {{"sub/file", {static_cast<std::int64_t>(data.size()), aptp::sha256(data)}}}, "mend it"};
    }

    std::filesystem::path path;
};

}  // namespace

TEST_CASE("SHA-256 is the standard's") {
    CHECK(aptp::sha256("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    aptp::Sha256 digest;
    digest.update("a", 1);
    digest.update("bc", 2);
    CHECK(digest.hexadecimal() == aptp::sha256("abc"));
}

TEST_CASE("a path stays beneath its folder") {
    for (const char* path : {"", ".", "..", "/a", "a/", "a//b", "a/../b", "-a", "a b", "a\\b", ".a", "a/.b", "é"}) {
        CAPTURE(path);
        CHECK_THROWS_AS(aptp::check_path(path, "x"), Failure);
    }
    CHECK_NOTHROW(aptp::check_path("a/b-c/d.e_f", "x"));
    CHECK_NOTHROW(aptp::check_path(std::string(255, 'a'), "x"));
    CHECK_THROWS_AS(aptp::check_path(std::string(256, 'a'), "x"), Failure);
}

TEST_CASE("a file is handed out once its bytes are the listed ones") {
    const Folder folder;
    const VerifiedFiles files = folder.files();
    CHECK(files.read("sub/file") == "abc");
    CHECK_FALSE(files.is_unchanged({"sub/file"}));  // nobody has checked it for `file` yet
    CHECK(files.file("sub/file") == folder.path / "sub/file");
    CHECK(files.is_unchanged({"sub/file"}));
    std::string all;
    files.chunks("sub/file", 2, [&](const char* data, std::size_t size) { all.append(data, size).append("|"); });
    CHECK(all == "ab|c|");
    CHECK_NOTHROW(files.verify());
    CHECK_THROWS_AS(files.file("sub"), Failure);
}

TEST_CASE("a file that changed is looked at again") {
    const Folder folder;
    const VerifiedFiles files = folder.files();
    files.verify();
    folder.write("abd");
    CHECK_FALSE(files.is_unchanged({"sub/file"}));
    CHECK_THROWS_AS(files.file("sub/file"), Failure);
    CHECK_THROWS_AS(files.read("sub/file"), Failure);
    folder.write("abcd");
    CHECK_THROWS_WITH_AS(files.file("sub/file"),
                         ((folder.path / "sub/file").string() + ": 4 bytes instead of 3; mend it").c_str(), Failure);
    folder.write("abc");
    CHECK_NOTHROW(files.file("sub/file"));
}

TEST_CASE("links and what is no regular file are refused, without waiting") {
    const Folder folder;
    const VerifiedFiles files = folder.files();
    std::filesystem::rename(folder.path / "sub/file", folder.path / "other");
    std::filesystem::create_symlink(folder.path / "other", folder.path / "sub/file");
    CHECK_THROWS_AS(files.file("sub/file"), Failure);
    std::filesystem::remove(folder.path / "sub/file");
    REQUIRE(::mkfifo((folder.path / "sub/file").c_str(), 0600) == 0);
    CHECK_THROWS_AS(files.read("sub/file"), Failure);
    std::filesystem::remove_all(folder.path / "sub");
    std::filesystem::create_directory(folder.path / "real");
    std::filesystem::rename(folder.path / "other", folder.path / "real/file");
    std::filesystem::create_directory_symlink(folder.path / "real", folder.path / "sub");
    CHECK_THROWS_AS(files.file("sub/file"), Failure);
}

TEST_CASE("threads may ask at once") {
    const Folder folder;
    const VerifiedFiles files = folder.files();
    std::atomic<int> right{0};
    std::vector<std::thread> threads;
    for (int thread = 0; thread < 4; ++thread) {
        threads.emplace_back([&] {
            for (int turn = 0; turn < 50; ++turn) right += files.read(files.entries().begin()->first) == "abc";
            files.file("sub/file");
            right += files.is_unchanged({"sub/file"});
        });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK(right == 204);
}
