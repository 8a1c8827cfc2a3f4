#include "machine/processor.hpp"

#include <algorithm>
#include <fstream>
#include <vector>

namespace aptp {

namespace {

// The names of this processor's instruction sets, as Linux tells them.
std::vector<std::string> processor_flags() {
    std::ifstream file("/proc/cpuinfo");
    for (std::string line; std::getline(file, line);) {
        if (line.rfind("flags", 0) != 0 && line.rfind("Features", 0) != 0) continue;
        std::vector<std::string> found{""};
        for (const char each : line.substr(std::min(line.size(), line.find(':') + 1))) {
            if (each == ' ') {
                found.emplace_back();
            } else {
                found.back() += each;
            }
        }
        return found;
    }
    return {};
}

std::string widest_vectors() {
    const std::vector<std::string> flags = processor_flags();
    for (const char* name : {"amx_bf16", "avx512_bf16", "avx512f", "avx2"}) {
        if (std::find(flags.begin(), flags.end(), name) != flags.end()) return name;
    }
    return "baseline";
}

}  // namespace

const std::string& processor_class() {
    static const std::string name = widest_vectors();
    return name;
}

bool computes_in_bfloat16(const std::string& processor) {
    return processor == "amx_bf16" || processor == "avx512_bf16";
}

}  // namespace aptp
