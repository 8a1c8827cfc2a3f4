// The command line of aptp-generate.
#pragma once

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace aptp::generate {

// A failure of the command, and the exit code that it becomes.
class Refusal : public std::runtime_error {
public:
    Refusal(int code, const std::string& message) : std::runtime_error(message), code_(code) {}
    int code() const noexcept { return code_; }

private:
    int code_;
};

inline constexpr int FAILED = 1;
inline constexpr int USAGE = 2;
inline constexpr int REFUSED = 3;
inline constexpr int INTERRUPTED = 130;

struct Options {
    std::vector<std::string> prompts;
    std::string bundle = "bundle";
    std::string out = "out";
    std::string engine = "auto";
    std::string negative_prompt;
    std::optional<std::string> precision;
    std::optional<std::string> provider;
    std::optional<std::string> cache;
    std::optional<std::string> solver;
    std::optional<std::string> code;
    std::optional<std::int64_t> steps;
    std::optional<std::int64_t> batch;
    std::optional<std::int64_t> height;
    std::optional<std::int64_t> width;
    std::optional<double> guidance;
    std::uint64_t seed = 0;
    bool overwrite = false;
    bool json = false;
    bool help = false;
    bool version = false;
};

// What was asked, prompts of files included. Throws Refusal.
Options parse(const std::vector<std::string>& arguments);

// What `--help` says.
const char* help();

}  // namespace aptp::generate
