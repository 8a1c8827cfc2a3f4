// room: machine
// Prints the limits of this process, as JSON a line: for each root of a file system that is given.
//
//     limits ALLOWED ROOT ...     ALLOWED: the numbers of processors that it may use, as 0,1,2; `-`: its own
#include <algorithm>
#include <iostream>
#include <optional>
#include <set>
#include <string>

#include "machine/cgroup.hpp"
#include "machine/memory.hpp"
#include "machine/threads.hpp"
#include "numbers.hpp"

namespace {

std::set<int> processors(const std::string& text) {
    if (text == "-") return aptp::allowed_processors();
    std::set<int> found;
    for (std::size_t begin = 0; begin < text.size();) {
        const std::size_t end = std::min(text.find(',', begin), text.size());
        found.insert(static_cast<int>(*aptp::read_integer(text.substr(begin, end - begin))));
        begin = end + 1;
    }
    return found;
}

template <typename Number>
std::string or_null(const std::optional<Number>& number) {
    return number ? std::to_string(*number) : "null";
}

}  // namespace

int main(int count, char** arguments) {
    if (count < 3) return 2;
    const std::set<int> allowed = processors(arguments[1]);
    for (int index = 2; index < count; ++index) {
        const std::string root = arguments[index];
        std::cout << "{\"memory\": " << or_null(aptp::memory_limit(root)) << ", \"whole\": " << aptp::whole_memory(root)
                  << ", \"half\": " << aptp::half_of_memory(root)
                  << ", \"processors\": " << or_null(aptp::processor_limit(root))
                  << ", \"threads\": " << aptp::running_threads(allowed, root)
                  << ", \"cores\": " << aptp::call_threads(allowed, root)
                  << ", \"quota\": " << or_null(aptp::quota_threads(allowed, root)) << "}\n";
    }
}
