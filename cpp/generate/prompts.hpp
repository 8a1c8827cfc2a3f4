// Prompts from files, and the names of their images.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace aptp::generate {

// The prompts of a UTF-8 file, one a line, empty lines left out. Throws Refusal.
std::vector<std::string> read_prompts(const std::string& path);

// `003-a-red-circle-seed10.png` for the prompt at `index`.
std::string file_name(std::size_t index, const std::string& prompt, std::uint64_t seed);

}  // namespace aptp::generate
