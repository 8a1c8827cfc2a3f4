#include "machine/memory.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>  // which says whether this is glibc
#include <limits>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "machine/cgroup.hpp"

namespace aptp {

std::int64_t whole_memory(const std::filesystem::path& root) {
    std::int64_t whole = std::int64_t{sysconf(_SC_PHYS_PAGES)} * std::int64_t{sysconf(_SC_PAGE_SIZE)};
    if (const auto limit = memory_limit(root)) whole = std::min(whole, *limit);
    // Of address space, and of private memory that can be written.
    for (const auto which : {RLIMIT_AS, RLIMIT_DATA}) {
        rlimit limit{};
        if (getrlimit(which, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) continue;
        constexpr auto most = static_cast<rlim_t>(std::numeric_limits<std::int64_t>::max());
        whole = std::min(whole, static_cast<std::int64_t>(std::min(limit.rlim_cur, most)));
    }
    return whole;
}

std::int64_t half_of_memory(const std::filesystem::path& root) { return whole_memory(root) / 2; }

void give_memory_back() {
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}

}  // namespace aptp
