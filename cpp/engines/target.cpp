#include "engines/target.hpp"

#include <sys/utsname.h>

#include <sstream>
#include <vector>

#include "engines/compiled.hpp"
#include "engines/nvidia.hpp"
#include "machine/processor.hpp"

namespace aptp {

namespace {

// What a machine may have more of; everything else has to be equal.
constexpr const char* FLOOR = "driver";

std::vector<long> numbers(const std::string& text) {
    std::vector<long> found;
    std::istringstream parts(text);
    for (std::string part; std::getline(parts, part, '.');) {
        const bool counts =
            !part.empty() && part.size() < 10 && part.find_first_not_of("0123456789") == std::string::npos;
        found.push_back(counts ? std::stol(part) : 0);
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
