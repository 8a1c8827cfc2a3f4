#include "text/prompt.hpp"

#include "errors.hpp"
#include "files/utf8.hpp"

namespace aptp {
namespace {

constexpr std::size_t SHOWN = 32;  // characters of a prompt that a message quotes

// Cut to what a message can show before it is looked at: a refused prompt may be of any size.
std::string shown(std::string_view prompt) {
    std::string_view start = prompt.substr(0, 4 * SHOWN);
    while (start.size() < prompt.size() && !start.empty() && !from_utf8(start) && start.size() > 4 * SHOWN - 4) {
        start.remove_suffix(1);
    }
    return "the prompt " + repr(std::string(start), SHOWN);
}

}  // namespace

std::u32string prompt_characters(std::string_view prompt) {
    // No code point takes more than four bytes: the length of anything longer need not be known.
    auto characters = prompt.size() > 4 * PROMPT_CHARACTERS ? std::nullopt : from_utf8(prompt);
    const std::size_t count = characters ? characters->size() : count_utf8(prompt);
    if (count > PROMPT_CHARACTERS) {
        throw Failure(Status::usage, shown(prompt) + "… has " + std::to_string(count) + " characters; shorten it to " +
                                         std::to_string(PROMPT_CHARACTERS));
    }
    if (prompt.find('\0') != std::string_view::npos) {
        throw Failure(Status::usage, shown(prompt) + " holds a NUL character; remove it");
    }
    if (!characters) throw Failure(Status::usage, shown(prompt) + " is not UTF-8; give valid Unicode");
    return std::move(*characters);
}

std::string_view check_prompt(std::string_view prompt) {
    prompt_characters(prompt);
    return prompt;
}

}  // namespace aptp
