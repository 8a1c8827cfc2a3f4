#include "machine/cgroup.hpp"

#include <algorithm>
#include <fstream>
#include <functional>
#include <iterator>
#include <limits>
#include <string>
#include <vector>

namespace aptp {

namespace {

namespace fs = std::filesystem;

constexpr const char* SPACES = " \t\r\n";

// Nothing where there is no such file.
std::string text_of(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

// The parts of a text between those of `separators` that are not empty.
std::vector<std::string> split(const std::string& text, const char* separators) {
    std::vector<std::string> parts;
    for (std::size_t begin = 0; (begin = text.find_first_not_of(separators, begin)) != std::string::npos;) {
        const std::size_t end = std::min(text.find_first_of(separators, begin), text.size());
        parts.push_back(text.substr(begin, end - begin));
        begin = end;
    }
    return parts;
}

// A number in decimal digits, the largest that there is where it is beyond that; else nothing.
std::optional<std::int64_t> natural(const std::string& digits) {
    if (digits.empty()) return std::nullopt;
    constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
    std::int64_t value = 0;
    for (const char digit : digits) {
        if (digit < '0' || digit > '9') return std::nullopt;
        const std::int64_t one = digit - '0';
        value = value > (most - one) / 10 ? most : 10 * value + one;
    }
    return value;
}

std::optional<std::int64_t> number(const fs::path& path) {
    const std::vector<std::string> words = split(text_of(path), SPACES);
    if (words.size() != 1) return std::nullopt;
    const bool is_negative = words[0][0] == '-';
    const auto value = natural(words[0].substr(is_negative ? 1 : 0));
    return value && is_negative ? std::optional(-*value) : value;
}

std::optional<double> quota(int version, const fs::path& folder) {
    if (version == 2) {
        const std::vector<std::string> words = split(text_of(folder / "cpu.max"), SPACES);
        if (words.size() != 2) return std::nullopt;
        const auto granted = natural(words[0]), period = natural(words[1]);
        if (!granted || !period) return std::nullopt;
        return static_cast<double>(*granted) / static_cast<double>(std::max<std::int64_t>(1, *period));
    }
    const auto granted = number(folder / "cpu.cfs_quota_us"), period = number(folder / "cpu.cfs_period_us");
    if (!granted || !period || *granted <= 0 || *period == 0) return std::nullopt;
    return static_cast<double>(*granted) / static_cast<double>(*period);
}

// Where the groups of `controllers` are seen. Several share one mount, which has one name for each of them, or one for
// all.
fs::path mount_of(const fs::path& mounts, const std::string& controller, const std::string& controllers) {
    std::error_code ignored;
    for (const std::string& name : {controller, controllers}) {
        if (fs::is_directory(mounts / name, ignored)) return mounts / name;
    }
    return mounts;
}

// Visit every group that this process is in, and those above.
void for_groups(const fs::path& root, const std::string& controller,
                const std::function<void(int version, const fs::path& folder)>& visit) {
    const fs::path mounts = root / "sys/fs/cgroup";
    for (const std::string& line : split(text_of(root / "proc/self/cgroup"), "\r\n")) {
        const std::size_t first = line.find(':');
        const std::size_t second = first == std::string::npos ? first : line.find(':', first + 1);
        if (second == std::string::npos) continue;
        const std::string controllers = line.substr(first + 1, second - first - 1);
        const std::vector<std::string> names = split(controllers, ",");
        if (!controllers.empty() && std::find(names.begin(), names.end(), controller) == names.end()) continue;
        const int version = controllers.empty() ? 2 : 1;
        const fs::path mount = version == 2 ? mounts : mount_of(mounts, controller, controllers);
        // Inside a container the path may be the host's, of which only the mount itself can be seen.
        std::vector<std::string> parts = split(line.substr(second + 1), "/");
        parts.erase(std::remove(parts.begin(), parts.end(), ".."), parts.end());
        for (std::size_t depth = parts.size() + 1; depth-- > 0;) {
            fs::path folder = mount;
            for (std::size_t part = 0; part < depth; ++part) folder /= parts[part];
            visit(version, folder);
        }
    }
}

template <typename Value>
void lower(std::optional<Value>& least, const std::optional<Value>& found) {
    if (found && (!least || *found < *least)) least = found;
}

}  // namespace

std::optional<std::int64_t> memory_limit(const fs::path& root) {
    std::optional<std::int64_t> least;
    for_groups(root, "memory", [&](int version, const fs::path& folder) {
        if (version == 1) return lower(least, number(folder / "memory.limit_in_bytes"));
        lower(least, number(folder / "memory.max"));
        // Beyond it a group is slowed down until nothing goes on: that is a limit as well.
        lower(least, number(folder / "memory.high"));
    });
    return least;
}

std::optional<double> processor_limit(const fs::path& root) {
    std::optional<double> least;
    for_groups(root, "cpu", [&](int version, const fs::path& folder) { lower(least, quota(version, folder)); });
    return least;
}

}  // namespace aptp
