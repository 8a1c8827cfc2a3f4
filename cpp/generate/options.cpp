#include "generate/options.hpp"

#include <cstdlib>
#include <functional>
#include <limits>
#include <map>
#include <optional>

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

void size(Options& options, const std::string& text) {
    const std::size_t cross = text.find('x');
    if (cross == std::string::npos) {
        refuse("--size: '" + text + "': give WIDTHxHEIGHT in pixels, for example 768x512");
    }
    options.request.width = integer("--size", text.substr(0, cross));
    options.request.height = integer("--size", text.substr(cross + 1));
}

using Take = std::function<void(Options&, const std::string&)>;

// Options that are followed by a value.
const std::map<std::string, Take>& valued() {
    static const std::map<std::string, Take> options{
        {"--bundle", [](Options& to, const std::string& text) { to.bundle = text; }},
        {"--out", [](Options& to, const std::string& text) { to.out = text; }},
        {"--engine", [](Options& to, const std::string& text) { to.open.engine = to.keep(text); }},
        {"--precision", [](Options& to, const std::string& text) { to.open.precision = to.keep(text); }},
        {"--provider", [](Options& to, const std::string& text) { to.open.provider = to.keep(text); }},
        {"--cache", [](Options& to, const std::string& text) { to.open.cache = to.keep(text); }},
        {"--batch", [](Options& to, const std::string& text) { to.open.batch = integer("--batch", text); }},
        {"--solver", [](Options& to, const std::string& text) { to.request.solver = to.keep(text); }},
        {"--code", [](Options& to, const std::string& text) { to.request.code = to.keep(text); }},
        {"--negative-prompt", [](Options& to, const std::string& text) { to.request.negative_prompt = to.keep(text); }},
        {"--steps", [](Options& to, const std::string& text) { to.request.steps = integer("--steps", text); }},
        {"--guidance", [](Options& to, const std::string& text) { to.request.guidance = number("--guidance", text); }},
        {"--seed", [](Options& to, const std::string& text) { to.request.seed = natural("--seed", text); }},
        {"--size", size},
        {"--prompts",
         [](Options& to, const std::string& text) {
             for (std::string& prompt : read_prompts(text)) to.prompts.push_back(std::move(prompt));
         }},
    };
    return options;
}

const std::map<std::string, bool Options::*>& flags() {
    static const std::map<std::string, bool Options::*> options{{"--overwrite", &Options::overwrite},
                                                                {"--json", &Options::json},
                                                                {"--help", &Options::help},
                                                                {"-h", &Options::help},
                                                                {"--version", &Options::version}};
    return options;
}

}  // namespace

Options parse(const std::vector<std::string>& arguments) {
    Options options;
    std::vector<std::string> listed;  // by files, which come after those of the command line
    bool is_text = false;
    for (std::size_t index = 0; index < arguments.size(); ++index) {
        const std::string& word = arguments[index];
        if (is_text || word.size() < 2 || word.front() != '-' || word.find(' ') != std::string::npos) {
            listed.push_back(word);
            continue;
        }
        if (word == "--") {
            is_text = true;
            continue;
        }
        const std::size_t equals = word.find('=');
        const std::string name = word.substr(0, equals);
        if (const auto flag = flags().find(word); flag != flags().end()) {
            options.*(flag->second) = true;
        } else if (const auto take = valued().find(name); take == valued().end()) {
            refuse("unknown option '" + name + "'");
        } else if (equals != std::string::npos) {
            take->second(options, word.substr(equals + 1));
        } else if (index + 1 < arguments.size()) {
            take->second(options, arguments[++index]);
        } else {
            refuse(name + ": a value is missing");
        }
    }
    options.prompts.insert(options.prompts.begin(), listed.begin(), listed.end());
    if (options.prompts.empty() && !options.help && !options.version) {
        throw Refusal(USAGE, "no prompt was given; add one in quotes, such as \"a red circle\", or --prompts FILE");
    }
    return options;
}

const char* help() {
    return R"(usage: aptp-generate [options] PROMPT ...

Make images from prompts with a bundle.

  PROMPT                 one image is made for each
  --prompts FILE         take more prompts from a file, one a line
  --bundle DIR           the bundle (default: ./bundle)
  --out DIR              where images go (default: ./out)
  --overwrite            replace images that are there already
  --seed SEED            image i has seed SEED + i (default: 0)
  --steps N              default: the bundle's
  --guidance G           1 or less switches it off (default: the bundle's)
  --size WIDTHxHEIGHT    pixels (default: the bundle's)
  --solver NAME          default: the bundle's
  --code K|dense         override the router
  --negative-prompt TEXT what to steer away from
  --engine NAME          what runs the UNet: auto (the default), cpu, openvino, cuda, tensorrt-ep, aoti,
                         supernet, tensorrt
  --precision NAME       what it computes in: float32, bfloat16 (default: the least it has earned here)
  --provider FILE        the library of a provider plugin of ONNX Runtime, which cuda and tensorrt-ep may have
  --batch N              images that may share a UNet call (default: by the experts' size)
  --cache DIR            derived files (default: $XDG_CACHE_HOME/aptp)
  --json                 print results as JSON on standard output
  --version              print the version

Exit codes: 0 done, 1 some of it failed (the rest is there), 2 usage, 3 refused.
)";
}

}  // namespace aptp::generate
