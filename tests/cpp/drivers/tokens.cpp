// room: text
// Tokenizes: tokens TOKENIZER CHARACTERS LENGTH BOS EOS PAD. A JSON string on each line of the input; on each line of
// the output {"ids": …, "mask": …, "dropped": …, "all": …} or {"error": …, "message": …}.
#include <fstream>
#include <iostream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "errors.hpp"
#include "text/tokenizer.hpp"

namespace {

std::string contents(const char* path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

nlohmann::json answer(const aptp::Tokenizer& tokenizer, const std::string& line) {
    try {
        const auto prompt = nlohmann::json::parse(line).get<std::string>();
        const aptp::Tokens tokens = tokenizer(prompt);
        return {
            {"ids", tokens.ids}, {"mask", tokens.mask}, {"dropped", tokens.dropped}, {"all", tokenizer.encode(prompt)}};
    } catch (const aptp::Failure& failure) {
        return {{"error", aptp::name_of(failure.status())}, {"message", failure.what()}};
    }
}

}  // namespace

int main(int count, char** arguments) {
    if (count != 7) {
        std::cerr << "usage: tokens TOKENIZER CHARACTERS LENGTH BOS EOS PAD\n";
        return 2;
    }
    try {
        const aptp::TokenizerEntry entry{"tokenizer.json",         "characters.json",        std::stoll(arguments[3]),
                                         std::stoll(arguments[4]), std::stoll(arguments[5]), std::stoll(arguments[6])};
        const aptp::Tokenizer tokenizer(entry, contents(arguments[1]), contents(arguments[2]));
        for (std::string line; std::getline(std::cin, line);) std::cout << answer(tokenizer, line) << '\n';
    } catch (const aptp::Failure& failure) {
        std::cout << nlohmann::json{{"error", aptp::name_of(failure.status())}, {"message", failure.what()}} << '\n';
    }
}
