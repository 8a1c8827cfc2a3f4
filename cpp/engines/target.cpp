#include "engines/target.hpp"

#include <sys/utsname.h>

#include <algorithm>
#include <string_view>
#include <vector>

#include "engines/compiled.hpp"
#include "engines/nvidia.hpp"
#include "machine/processor.hpp"
#include "numbers.hpp"

namespace aptp {

namespace {

// What a machine may have more of; everything else has to be equal.
constexpr const char* FLOOR = "driver";

std::vector<std::int64_t> numbers(std::string_view text) {
    std::vector<std::int64_t> found;
    while (!text.empty()) {
        const std::size_t size = std::min(text.find('.'), text.size());
        found.push_back(std::max<std::int64_t>(0, read_integer(text.substr(0, size)).value_or(0)));
        text.remove_prefix(std::min(size + 1, text.size()));
    }
    return found;
}

}  // namespace

Table<std::string> facts(const std::string& device) {
    Table<std::string> found = compiled_versions();
    if (device == "cpu") {
        utsname names{};
        uname(&names);
        found["device"] = device;
        found["architecture"] = std::string(names.machine) + " " + processor_class();
    } else if (const auto& gpu = nvidia::device()) {
        found["device"] = device;
        found["architecture"] = gpu->architecture;
        found["driver"] = gpu->driver;
    }
    return found;
}

std::optional<std::string> mismatch(const CompiledEntry& entry) {
    const auto device = entry.target.find("device");
    const Table<std::string> here = facts(device == entry.target.end() ? "cpu" : device->second);
    for (const auto& [name, wanted] : entry.target) {
        const auto found = here.find(name);
        if (found == here.end()) {
            return "was compiled for " + name + " " + wanted + ", which this machine does not have";
        }
        const bool is_floor = name == FLOOR;
        if (found->second != wanted && !(is_floor && numbers(found->second) >= numbers(wanted))) {
            return "was compiled for " + name + " " + (is_floor ? "at least " : "") + wanted +
                   ", and this machine has " + found->second;
        }
    }
    return std::nullopt;
}

}  // namespace aptp
