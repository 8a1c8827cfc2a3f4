// The command line of aptp-generate.
#pragma once

#include <aptp.h>

#include <deque>
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

// What was asked. `open` and `request` are what the library is given, and point to texts that are kept here.
struct Options {
    std::vector<std::string> prompts;
    std::string bundle = "bundle";
    std::string out = "out";
    aptp_open_options open = APTP_OPEN_OPTIONS_INIT;
    aptp_request_options request = APTP_REQUEST_OPTIONS_INIT;  // its seed is that of the first image
    bool overwrite = false;
    bool json = false;
    std::string told;  // what was asked for instead of images: the help, or the version
    std::deque<std::string> texts;

    // A text of the command line for as long as this lives.
    const char* keep(const std::string& text) { return texts.emplace_back(text).c_str(); }

    Options() = default;
    Options(Options&&) = default;  // the texts stay where they are
    Options& operator=(Options&&) = default;
};

// The command line, prompts of files included. Throws Refusal.
Options parse(const std::vector<std::string>& arguments);

}  // namespace aptp::generate
