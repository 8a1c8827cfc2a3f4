// room: text
// Whatever a prompt, it has ids or is refused as the caller's mistake; and whatever a tokenizer's files, they open or
// are refused. The first byte says which it is: a prompt for a good tokenizer, the text of one, or that of the tables.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "errors.hpp"
#include "text/tokenizer.hpp"
#include "files/utf8.hpp"

namespace {

const aptp::TokenizerEntry ENTRY{"tokenizer.json", "characters.json", 16, 1, 2, 2};

const std::string TABLES =
    R"({"format":"aptp-characters","source":"by hand","letters":[65,90,97,122,192,591,44032,55203],)"
    R"("numbers":[48,57,178,179],"spaces":[9,13,32,32,8232,8233],"lower":[[65,97],[304,105,775]],)"
    R"("decomposed":[[233,101,769],[7879,101,803,770]],"composed":[[101,769,233],[101,803,7865],[7865,770,7879]],)"
    R"("marks":[[768,788,230],[803,803,220]]})";

// A tokenizer of CLIP's form, with every byte and a few merges.
std::string tokenizer() {
    std::string vocabulary, next;
    int id = 0;
    const auto add = [&](const std::string& token) {
        for (const char* end : {"", "</w>"}) {
            const std::string text = token == "\"" || token == "\\" ? "\\" + token : token;
            vocabulary += (vocabulary.empty() ? "" : ",") + ("\"" + text) + end + "\":" + std::to_string(id++);
        }
    };
    char32_t other = 0x100;
    for (char32_t byte = 0; byte < 256; ++byte) {
        std::string token;
        aptp::append_utf8(token, (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD) ? byte : other++);
        add(token);
    }
    for (const char* token : {"ab", "abc", "aa", "aaaa"}) add(token);
    return R"({"added_tokens":[{"id":1,"content":"<|x|>","normalized":false},{"id":2,"content":"<|y|>"}],)"
           R"("normalizer":{"type":"Sequence","normalizers":[{"type":"NFC"},)"
           R"({"type":"Replace","pattern":{"Regex":"\\s+"},)"
           R"("content":" "},{"type":"Lowercase"}]},"pre_tokenizer":{"type":"Sequence","pretokenizers":[)"
           R"({"type":"Split",)"
           R"("pattern":{"Regex":"<\\|x\\|>|'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+"},)"
           R"("behavior":"Removed","invert":true},{"type":"ByteLevel","add_prefix_space":false}]},)"
           R"("model":{"type":"BPE","end_of_word_suffix":"</w>","vocab":{)" +
           vocabulary + R"(},"merges":[["a","b"],"ab c",["a","a"],["aa","aa</w>"]]}})";
}

void check(const aptp::Tokenizer& tokenizer, std::string_view prompt) {
    try {
        const aptp::Tokens tokens = tokenizer(prompt);
        const auto all = tokenizer.encode(prompt).size();
        const bool fits = tokens.ids.size() == 16 && tokens.mask.size() == 16 && tokens.ids[0] == 1;
        if (!fits || tokens.dropped != static_cast<std::int64_t>(all > 14 ? all - 14 : 0)) std::abort();
    } catch (const aptp::Failure& failure) {
        if (failure.status() != aptp::Status::usage) std::abort();
    }
}

void open(std::string_view data, std::string_view tables) {
    try {
        check(aptp::Tokenizer(ENTRY, data, tables), "Ab \u00e9 42 <|x|>'s");
    } catch (const aptp::Failure& failure) {
        if (failure.status() != aptp::Status::manifest && failure.status() != aptp::Status::environment) std::abort();
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const std::string good = tokenizer();
    static const aptp::Tokenizer known(ENTRY, good, TABLES);
    if (size == 0) return 0;
    const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
    if (data[0] == 'f') {
        open(text, TABLES);
    } else if (data[0] == 'c') {
        open(good, text);
    } else {
        check(known, text);
    }
    return 0;
}
