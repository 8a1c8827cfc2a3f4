// The images of one command: files as soon as they are made, and what is told of them in the end.
#pragma once

#include <aptp.h>

#include <cstddef>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "generate/options.hpp"

namespace aptp::generate {

// What became of each prompt so far. An existing file is replaced whole, or not at all.
class Album {
public:
    // Refuses targets that are there already, before any work. Throws Refusal.
    explicit Album(const Options& options);

    // Make the folder. Throws Refusal.
    void make_folder() const;

    // Save the image of a request that ended with one.
    void add(std::size_t index, aptp_request* request);

    // Keep the reason why there is none.
    void fail(std::size_t index, int exit_code, const std::string& message);

    bool empty() const { return facts_.empty() && failures_.empty(); }

    // 0 if nothing failed, 1 if some did, the first failure's own where there is no image.
    int exit_code() const;

    // What became of each prompt: as JSON on standard output, or as a table on standard error, with warnings and
    // errors below it.
    void print_json() const;
    void print_table() const;

private:
    struct Facts;
    struct Failed {
        int exit_code;
        std::string message;
    };

    void save(std::size_t index, const std::uint8_t* bytes, std::size_t size) const;

    const Options& options_;
    std::vector<std::filesystem::path> paths_;
    std::map<std::size_t, Facts> facts_;
    std::map<std::size_t, Failed> failures_;
};

// What an image is told of by, when its request is gone.
struct Album::Facts {
    double milliseconds;
    std::string expert;
    std::int64_t code;
    double margin;
    double distance;
    bool fell_back;
    bool out_of_distribution;
    bool blank;
    std::int64_t dropped_tokens;
    std::int64_t negative_dropped_tokens;
    std::string described;  // all of it and the settings, as JSON

    // The code, and the expert that stood in for its own.
    std::string label() const;
};

}  // namespace aptp::generate
