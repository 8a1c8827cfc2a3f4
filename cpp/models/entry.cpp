#include "models/entry.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <system_error>
#include <vector>

#include "errors.hpp"
#include "models/unpacked.hpp"

namespace aptp::entry {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t CHUNK = 8 * 1024 * 1024;  // bytes of float16, a multiple of 2

[[noreturn]] void refuse() { throw std::system_error(errno, std::generic_category()); }

// A new file.
class Written {
public:
    explicit Written(const fs::path& path)
        : file_(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666)) {
        if (file_.number() < 0) refuse();
    }

    void append(const char* data, std::size_t size) {
        while (size > 0) {
            const ssize_t done = ::write(file_.number(), data, size);
            if (done < 0 && errno != EINTR) refuse();
            if (done > 0) {
                data += done;
                size -= static_cast<std::size_t>(done);
            }
        }
    }

    // Bring it to the disk, readable by its group where it is `shared`, whatever the umask.
    void finish(bool shared) {
        if (shared && ::fchmod(file_.number(), 0640) != 0) refuse();
        if (::fsync(file_.number()) != 0) refuse();
    }

private:
    Descriptor file_;
};

void sync_folder(const fs::path& folder) {
    const Descriptor opened(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (opened.number() < 0 || ::fsync(opened.number()) != 0) refuse();
}

void write_data(const Bundle& bundle, const std::string& weights, const fs::path& path, bool shared) {
    Written file(path);
    std::vector<float> wide;
    bundle.files().chunks(weights, CHUNK, [&](const char* data, std::size_t size) {
        if (size % 2 != 0) throw Failure(Status::integrity, weights + ": is not made of float16 values");
        wide.resize(size / 2);
        widen(data, wide.size(), wide.data());
        file.append(reinterpret_cast<const char*>(wide.data()), 2 * size);
    });
    file.finish(shared);
}

void write_text(const std::string& text, const fs::path& path, bool shared) {
    Written file(path);
    file.append(text.data(), text.size());
    file.finish(shared);
}

// A folder that goes unless it was renamed.
struct Partial {
    fs::path path;

    explicit Partial(fs::path place) : path(std::move(place)) {
        fs::remove_all(path);  // what a killed process left is in the way
        fs::create_directory(path);
    }
    ~Partial() {
        std::error_code ignored;
        fs::remove_all(path, ignored);
    }
};

}  // namespace

void build(const Bundle& bundle, const ModelEntry& model, const fs::path& folder, bool shared) {
    // The lock makes this name ours.
    const Partial partial(fs::path(folder.string() + ".partial"));
    write_text(bundle.files().read(*model.serve), partial.path / GRAPH, shared);
    write_data(bundle, *model.weights, partial.path / DATA, shared);
    if (shared) fs::permissions(partial.path, fs::perms::group_read | fs::perms::group_exec, fs::perm_options::add);
    sync_folder(partial.path);
    fs::remove_all(folder);
    fs::rename(partial.path, folder);
    sync_folder(folder.parent_path());
}

}  // namespace aptp::entry
