#include "models/entry.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <system_error>
#include <vector>

#include "files/sha256.hpp"
#include "errors.hpp"

namespace aptp::entry {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t CHUNK = 8 * 1024 * 1024;  // bytes of float16, a multiple of 2

[[noreturn]] void refuse() { throw std::system_error(errno, std::generic_category()); }

// A new file that counts and hashes what it is given.
class Written {
public:
    explicit Written(const fs::path& path)
        : file_(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666)) {
        if (file_.number() < 0) refuse();
    }

    void append(const char* data, std::size_t size) {
        digest_.update(data, size);
        size_ += size;
        while (size > 0) {
            const ssize_t done = ::write(file_.number(), data, size);
            if (done < 0 && errno != EINTR) refuse();
            if (done > 0) {
                data += done;
                size -= static_cast<std::size_t>(done);
            }
        }
    }

    // Bring it to the disk; its line in the record, as Python's json writes it.
    std::string finish() {
        if (::fsync(file_.number()) != 0) refuse();
        return "{\"sha256\": \"" + digest_.hexadecimal() + "\", \"size\": " + std::to_string(size_) + "}";
    }

private:
    Descriptor file_;
    Sha256 digest_;
    std::size_t size_ = 0;
};

void sync_folder(const fs::path& folder) {
    const Descriptor opened(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (opened.number() < 0 || ::fsync(opened.number()) != 0) refuse();
}

std::string write_data(const Bundle& bundle, const std::string& weights, const fs::path& path) {
    Written file(path);
    std::vector<float> wide;
    bundle.files().chunks(weights, CHUNK, [&](const char* data, std::size_t size) {
        if (size % 2 != 0) throw Failure(Status::integrity, weights + ": is not made of float16 values");
        wide.resize(size / 2);
        widen(data, wide.size(), wide.data());
        file.append(reinterpret_cast<const char*>(wide.data()), 2 * size);
    });
    return file.finish();
}

std::string write_text(const std::string& text, const fs::path& path) {
    Written file(path);
    file.append(text.data(), text.size());
    return file.finish();
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

void build(const Bundle& bundle, const ModelEntry& model, const fs::path& folder) {
    // The lock makes this name ours.
    const Partial partial(fs::path(folder.string() + ".partial"));
    const std::string graph = write_text(bundle.files().read(*model.serve), partial.path / GRAPH);
    const std::string data = write_data(bundle, *model.weights, partial.path / DATA);
    write_text("{\"serve.onnx\": " + graph + ", \"serve.onnx.data\": " + data + "}", partial.path / RECORD);
    sync_folder(partial.path);
    fs::remove_all(folder);
    fs::rename(partial.path, folder);
    sync_folder(folder.parent_path());
}

void widen(const char* halves, std::size_t count, float* out) {
    constexpr std::uint32_t INFINITE = 0x7f800000U;
    for (std::size_t index = 0; index < count; ++index) {
        std::uint16_t half = 0;
        std::memcpy(&half, halves + 2 * index, sizeof half);
        const std::uint32_t sign = std::uint32_t{half & 0x8000U} << 16;
        const std::uint32_t bits = std::uint32_t{half & 0x7fffU} << 13;
        std::uint32_t wide = 0;
        if (bits >= (0x7c00U << 13)) {  // infinities, and values that are no numbers
            wide = sign | INFINITE | (bits & 0x007fe000U);
        } else if (bits >= (0x0400U << 13)) {
            wide = sign | (bits + ((127U - 15U) << 23));
        } else {  // below the normal ones: a whole number of 2^-24
            const float value = static_cast<float>(bits >> 13) * 0x1p-24F;
            std::memcpy(&wide, &value, sizeof wide);
            wide |= sign;
        }
        std::memcpy(out + index, &wide, sizeof wide);
    }
}

}  // namespace aptp::entry
