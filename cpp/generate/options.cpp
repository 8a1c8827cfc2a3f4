#include "generate/options.hpp"

#include <CLI/CLI.hpp>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <random>
#include <utility>

#include "errors.hpp"
#include "generate/prompts.hpp"
#include "numbers.hpp"

namespace aptp::generate {

namespace {

[[noreturn]] void refuse(const std::string& message) { throw Refusal(USAGE, message + "; see aptp-generate --help"); }

std::uint64_t natural(const std::string& name, const std::string& text) {
    std::uint64_t value = 0;
    if (text.empty() || text.size() > 30) refuse(name + ": '" + text + "' is not an integer");
    for (const char digit : text) {
        if (digit < '0' || digit > '9') refuse(name + ": '" + text + "' is not an integer");
        const auto one = static_cast<std::uint64_t>(digit - '0');
        if (value > (std::numeric_limits<std::uint64_t>::max() - one) / 10) {
            throw Refusal(USAGE, name + " " + text + ": is above 2^64 - 1");
        }
        value = 10 * value + one;
    }
    return value;
}

std::int64_t integer(const std::string& name, const std::string& text) {
    const bool is_negative = !text.empty() && text.front() == '-';
    const std::uint64_t size = natural(name, is_negative ? text.substr(1) : text);
    if (size > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
        throw Refusal(USAGE, name + " " + text + ": is too large");
    }
    return is_negative ? -static_cast<std::int64_t>(size) : static_cast<std::int64_t>(size);
}

double number(const std::string& name, const std::string& text) {
    const std::optional<double> value = read_number(text);
    if (!value) refuse(name + ": '" + text + "' is not a number");
    return *value;
}

// A number, or one that nobody chose: below 2^32, as in Python.
std::uint64_t seed(const std::string& text) {
    if (text == "random") return std::random_device{}();
    if (text.empty() || text.find_first_not_of("0123456789") != std::string::npos) {
        refuse("--seed: " + repr(text) + ": give an integer from 0, or random");
    }
    return natural("--seed", text);
}

void size(Options& options, const std::string& text) {
    const std::size_t cross = text.find('x');
    if (cross == std::string::npos) {
        refuse("--size: '" + text + "': give WIDTHxHEIGHT in pixels, for example 768x512");
    }
    options.request.width = integer("--size", text.substr(0, cross));
    options.request.height = integer("--size", text.substr(cross + 1));
}

// Begins what `--help` says as Python's commands do.
class Help : public CLI::Formatter {
public:
    Help() { column_width(26); }

    std::string make_usage(const CLI::App*, std::string) const override {
        return "usage: aptp-generate [options] PROMPT ...\n\nMake an image from each prompt with a bundle.\n";
    }
};

using Take = std::function<void(const std::string& text)>;

// The command line's options, which fill an `Options`.
class Parser {
public:
    explicit Parser(Options& to) : to_(to), app_("", "aptp-generate") {
        app_.allow_extras();  // prompts among them, which may begin with a hyphen
        app_.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
        app_.formatter(std::make_shared<Help>());
        app_.footer("Exit codes: 0 done, 1 some of it failed (the rest is there), 2 usage, 3 refused.");
        app_.set_help_flag("-h,--help", "print this");
        app_.set_version_flag("--version", aptp_version(), "print the version");
        add_files();
        add_image();
        add_engine();
    }

    // The words that are no options, as prompts. Throws Refusal.
    std::vector<std::string> parse(std::vector<std::string> words);

private:
    void add_files();
    void add_image();
    void add_engine();
    [[noreturn]] void refuse_unknown(const std::string& word) const;

    void take(const char* name, const char* value, const char* about, const Take& take) {
        const auto hear = [take](const CLI::results_t& given) {
            for (const std::string& text : given) take(text);
            return true;
        };
        app_.add_option(name, hear, about)->option_text(value);
    }

    void keep(const char* name, const char* value, const char* about, const char*& target) {
        take(name, value, about, [this, &target](const std::string& text) { target = to_.keep(text); });
    }

    void count(const char* name, const char* about, std::int64_t& target) {
        take(name, "N", about, [name, &target](const std::string& text) { target = integer(name, text); });
    }

    Options& to_;
    CLI::App app_;
};

void Parser::add_files() {
    const auto read = [this](const std::string& path) {
        for (std::string& prompt : read_prompts(path)) to_.prompts.push_back(std::move(prompt));
    };
    take("--prompts", "FILE", "take more prompts from a file, one a line", read);
    app_.get_option("--prompts")->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    take("--bundle", "DIR", "the bundle (default: ./bundle)", [this](const std::string& text) { to_.bundle = text; });
    take("--out", "DIR", "where images go (default: ./out)", [this](const std::string& text) { to_.out = text; });
    app_.add_flag("--overwrite", to_.overwrite, "replace images that are there already");
    app_.add_flag("--json", to_.json, "print results as JSON on standard output");
}

void Parser::add_image() {
    aptp_request_options& request = to_.request;
    take("--seed", "N|random", "image i has seed N + i (default: 0)",
         [&](const std::string& text) { request.seed = seed(text); });
    count("--steps", "default: the bundle's", request.steps);
    take("--guidance", "G", "1 or less switches it off (default: the bundle's)",
         [&](const std::string& text) { request.guidance = number("--guidance", text); });
    take("--size", "WIDTHxHEIGHT", "pixels (default: the bundle's)",
         [this](const std::string& text) { size(to_, text); });
    keep("--solver", "NAME", "default: the bundle's", request.solver);
    keep("--code", "K|dense", "override the router", request.code);
    keep("--negative-prompt", "TEXT", "what to steer away from", request.negative_prompt);
}

void Parser::add_engine() {
    aptp_open_options& open = to_.open;
    keep("--engine", "NAME",
         "what runs the UNet: auto (default), cpu, openvino, cuda, tensorrt-ep, aoti, supernet, tensorrt", open.engine);
    keep("--precision", "NAME", "what it computes in: float32, bfloat16, int8 (default: the least it has earned here)",
         open.precision);
    keep("--provider", "FILE", "a provider plugin of ONNX Runtime, which cuda and tensorrt-ep may have", open.provider);
    count("--device", "which GPU cuda and tensorrt-ep run on, from 0 (default: 0)", open.device);
    count("--batch", "images that may share a UNet call (default: by the experts' size)", open.batch);
    keep("--cache", "DIR", "derived files (default: $XDG_CACHE_HOME/aptp)", open.cache);
    app_.add_flag("--cache-group-writable", open.cache_group_writable, "trust the group of that folder, too");
}

std::vector<std::string> Parser::parse(std::vector<std::string> words) {
    // To CLI11, `--name=` is an option whose value follows; here and in Python its value is empty.
    std::vector<std::string> reversed;
    bool is_text = false;
    for (std::string& word : words) {
        is_text = is_text || word == "--";
        const bool is_empty = !is_text && word.rfind("--", 0) == 0 && word.find('=') == word.size() - 1 &&
                              app_.get_option_no_throw(word.substr(0, word.size() - 1)) != nullptr;
        if (is_empty) word.pop_back();
        reversed.insert(reversed.begin(), std::move(word));
        if (is_empty) reversed.insert(reversed.begin(), "");
    }
    try {
        app_.parse(reversed);
    } catch (const CLI::CallForHelp&) {
        to_.told = app_.help("", CLI::AppFormatMode::Normal);
    } catch (const CLI::CallForVersion&) {
        to_.told = std::string(aptp_version()) + "\n";
    } catch (const CLI::ArgumentMismatch& error) {
        refuse(std::string(error.what()).substr(0, std::string(error.what()).find(':')) + ": a value is missing");
    } catch (const CLI::ParseError& error) {
        refuse(error.what());
    }
    std::vector<std::string> prompts;
    is_text = false;
    for (std::string& word : app_.remaining()) {
        // A name holds no space; a prompt that begins with a hyphen most often does.
        const bool is_option = !is_text && word.size() > 1 && word.front() == '-' &&
                               word.substr(0, word.find('=')).find(' ') == std::string::npos;
        if (is_option && word == "--") {
            is_text = true;
        } else if (is_option) {
            refuse_unknown(word);
        } else {
            prompts.push_back(std::move(word));
        }
    }
    return prompts;
}

void Parser::refuse_unknown(const std::string& word) const {
    const std::string name = word.substr(0, word.find('='));
    std::vector<std::string> known;
    for (const CLI::Option* option : app_.get_options()) {
        for (const std::string& each : option->get_lnames()) known.push_back("--" + each);
    }
    refuse("unknown option " + repr(name) + nearest(name, known));
}

}  // namespace

Options parse(const std::vector<std::string>& arguments) {
    Options options;
    const std::vector<std::string> prompts = Parser(options).parse(arguments);
    options.prompts.insert(options.prompts.begin(), prompts.begin(), prompts.end());  // those of files come after
    if (options.prompts.empty() && options.told.empty()) {
        throw Refusal(USAGE, "no prompt was given; add one in quotes, such as \"a red circle\", or --prompts FILE");
    }
    return options;
}

}  // namespace aptp::generate
