// room: diffusion
// Makes noise: on each line of the input a seed, a count and a stream; on each line of the output the float32 values,
// little-endian, in hexadecimal.
#include <cstring>
#include <iostream>

#include "diffusion/noise.hpp"
#include "hexadecimal.hpp"

int main() {
    std::uint64_t seed = 0;
    std::size_t count = 0;
    std::uint32_t stream = 0;
    while (std::cin >> seed >> count >> stream) {
        std::vector<float> values(count);
        aptp::normal(seed, values.data(), count, stream);
        std::cout << hexadecimal(values) << '\n';
    }
}
