// What may be a prompt (docs/BUNDLE.md, "Requests").
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace aptp {

inline constexpr std::size_t PROMPT_CHARACTERS = 10'000;

// The code points of `prompt`, which has to be UTF-8 of at most 10,000 of them without NUL; empty is fine. Throws
// Failure (usage).
std::u32string prompt_characters(std::string_view prompt);

// `prompt` if it is all that. Throws Failure (usage).
std::string_view check_prompt(std::string_view prompt);

}  // namespace aptp
