#include "machine/threads.hpp"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>
#include <string>

#include "machine/cgroup.hpp"

namespace aptp {

namespace {

std::int64_t within_quota(std::size_t count, const std::filesystem::path& root) {
    const auto most = static_cast<std::int64_t>(count);
    const auto share = processor_limit(root);
    if (!share || *share >= static_cast<double>(most)) return most;
    return std::max<std::int64_t>(1, static_cast<std::int64_t>(std::ceil(*share)));
}

// The processors that share a core with this one, itself among them, as the system lists them.
std::string siblings_of(int processor, const std::filesystem::path& root) {
    const std::string place =
        "sys/devices/system/cpu/cpu" + std::to_string(processor) + "/topology/thread_siblings_list";
    std::ifstream file(root / place, std::ios::binary);
    std::string listed{std::istreambuf_iterator<char>(file), {}};
    return listed.empty() ? std::to_string(processor) : listed;
}

}  // namespace

std::set<int> allowed_processors() {
    std::set<int> allowed;
    // The system refuses a set that is smaller than its own.
    for (int size = CPU_SETSIZE; size <= (1 << 20); size *= 2) {
        cpu_set_t* const set = CPU_ALLOC(static_cast<std::size_t>(size));
        if (set == nullptr) break;
        const std::size_t bytes = CPU_ALLOC_SIZE(static_cast<std::size_t>(size));
        CPU_ZERO_S(bytes, set);
        const bool is_told = sched_getaffinity(0, bytes, set) == 0;
        for (int processor = 0; is_told && processor < size; ++processor) {
            if (CPU_ISSET_S(static_cast<std::size_t>(processor), bytes, set)) allowed.insert(processor);
        }
        CPU_FREE(set);
        if (is_told) return allowed;
    }
    const long count = std::max(1L, sysconf(_SC_NPROCESSORS_ONLN));
    for (int processor = 0; processor < count; ++processor) allowed.insert(processor);
    return allowed;
}

std::int64_t running_threads(const std::set<int>& allowed, const std::filesystem::path& root) {
    return within_quota(allowed.size(), root);
}

std::int64_t call_threads(const std::set<int>& allowed, const std::filesystem::path& root) {
    std::set<std::string> cores;
    for (const int processor : allowed) cores.insert(siblings_of(processor, root));
    return within_quota(cores.size(), root);
}

std::optional<std::int64_t> quota_threads(const std::set<int>& allowed, const std::filesystem::path& root) {
    const std::int64_t found = running_threads(allowed, root);
    return found < static_cast<std::int64_t>(allowed.size()) ? std::optional(found) : std::nullopt;
}

}  // namespace aptp
