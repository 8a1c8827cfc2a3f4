#include "generate/prompts.hpp"

#include <cerrno>
#include <cstring>
#include <fstream>

#include "generate/options.hpp"

namespace aptp::generate {

namespace {

constexpr std::size_t SLUG = 40;
constexpr const char* BYTE_ORDER_MARK = "\xef\xbb\xbf";

// Letters and digits in lower case, a hyphen for whatever lies between them.
std::string slug(const std::string& prompt) {
    std::string text;
    for (const char letter : prompt) {
        const char lower = letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter - 'A' + 'a') : letter;
        const bool is_kept = (lower >= 'a' && lower <= 'z') || (lower >= '0' && lower <= '9');
        if (is_kept) {
            text += lower;
        } else if (!text.empty() && text.back() != '-') {
            text += '-';
        }
    }
    text.resize(std::min(text.size(), SLUG));
    while (!text.empty() && text.back() == '-') text.pop_back();
    return text;
}

// Whether a path names a table, in which a prompt would be one cell of a line.
bool is_table(const std::string& path) {
    if (path.size() < 4) return false;
    std::string ending = path.substr(path.size() - 4);
    for (char& letter : ending) {
        if (letter >= 'A' && letter <= 'Z') letter = static_cast<char>(letter - 'A' + 'a');
    }
    return ending == ".tsv" || ending == ".csv";
}

}  // namespace

std::vector<std::string> read_prompts(const std::string& path) {
    if (is_table(path)) {
        throw Refusal(USAGE, "--prompts " + path + ": is a table; give one prompt a line, or use Python's command");
    }
    std::ifstream file(path);
    std::vector<std::string> prompts;
    std::string line;
    while (std::getline(file, line)) {
        if (prompts.empty() && line.rfind(BYTE_ORDER_MARK, 0) == 0) line.erase(0, 3);
        if (!line.empty() && line.back() == '\r') line.pop_back();
        if (line.find_first_not_of(" \t\v\f") != std::string::npos) prompts.push_back(line);
    }
    if (!file.eof()) throw Refusal(USAGE, "--prompts " + path + ": cannot be read: " + std::strerror(errno));
    return prompts;
}

std::string file_name(std::size_t index, const std::string& prompt, std::uint64_t seed) {
    std::string place = std::to_string(index);
    if (place.size() < 3) place.insert(0, 3 - place.size(), '0');
    const std::string words = slug(prompt);
    return place + "-" + words + (words.empty() ? "" : "-") + "seed" + std::to_string(seed) + ".png";
}

}  // namespace aptp::generate
