#include "generate/album.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>
#include <system_error>

#include "generate/prompts.hpp"
#include "numbers.hpp"

namespace aptp::generate {

namespace fs = std::filesystem;

namespace {

using Json = nlohmann::ordered_json;

constexpr int TABLE_PROMPT = 40;

bool write_all(int file, const std::uint8_t* bytes, std::size_t size) {
    while (size > 0) {
        const ssize_t done = ::write(file, bytes, size);
        if (done < 0 && errno != EINTR) return false;
        if (done > 0) {
            bytes += done;
            size -= static_cast<std::size_t>(done);
        }
    }
    return ::fsync(file) == 0;
}

// Cut to so many characters, and not within one.
std::string shortened(const std::string& text, int most) {
    std::size_t end = 0;
    for (int count = 0; end < text.size() && count < most; ++count) {
        for (++end; end < text.size() && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80;) ++end;
    }
    return text.substr(0, end);
}

}  // namespace

std::string Album::Facts::label() const {
    const std::string own = code < 0 ? "dense" : std::to_string(code);
    return own == expert ? own : own + " -> " + expert;
}

Album::Album(const Options& options) : options_(options) {
    for (std::size_t index = 0; index < options.prompts.size(); ++index) {
        const std::uint64_t seed = options.request.seed + index;
        if (seed < options.request.seed) {
            throw Refusal(USAGE, "seed " + std::to_string(options.request.seed) + " + " + std::to_string(index) +
                                     ": every image's seed must be from 0 to 2^64 - 1");
        }
        paths_.push_back(fs::path(options.out) / file_name(index, options.prompts[index], seed));
    }
    for (const fs::path& path : paths_) {
        std::error_code ignored;
        const fs::file_status there = fs::symlink_status(path, ignored);
        if (fs::is_directory(there)) {
            throw Refusal(USAGE, path.string() + ": is a folder, where an image is to be; choose another --out");
        }
        if (fs::exists(there) && !options.overwrite) {
            throw Refusal(USAGE, path.string() + ": is there already; add --overwrite, or choose another --out");
        }
    }
}

void Album::make_folder() const {
    std::error_code code;
    fs::create_directories(options_.out, code);
    if (code) {
        throw Refusal(USAGE, "--out " + options_.out + ": is not a folder that can be made: " + code.message());
    }
}

void Album::add(std::size_t index, aptp_request* request) {
    aptp_image image = APTP_IMAGE_INIT;
    const std::uint8_t* bytes = nullptr;
    std::size_t size = 0;
    const char* described = nullptr;
    if (aptp_result(request, &image) != APTP_OK || aptp_png(request, &bytes, &size) != APTP_OK ||
        aptp_describe(request, &described) != APTP_OK) {
        fail(index, FAILED, aptp_error());
        return;
    }
    try {
        save(index, bytes, size);
    } catch (const Refusal& refusal) {
        fail(index, refusal.code(), refusal.what());
        return;
    }
    facts_[index] = {image.milliseconds,
                     image.expert,
                     image.code,
                     image.margin,
                     image.distance,
                     image.fell_back != 0,
                     image.out_of_distribution != 0,
                     image.blank != 0,
                     image.dropped_tokens,
                     image.negative_dropped_tokens,
                     described};
}

void Album::fail(std::size_t index, int exit_code, const std::string& message) {
    failures_[index] = {exit_code, message};
}

int Album::exit_code() const {
    if (failures_.empty()) return 0;
    return facts_.empty() ? failures_.begin()->second.exit_code : FAILED;
}

void Album::save(std::size_t index, const std::uint8_t* bytes, std::size_t size) const {
    const fs::path& path = paths_[index];
    const fs::path partial = path.parent_path() / ("." + std::to_string(::getpid()) + ".partial");
    const int file = ::open(partial.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    int reason = file < 0 || !write_all(file, bytes, size) ? errno : 0;
    if (file >= 0) ::close(file);
    if (reason == 0 && ::rename(partial.c_str(), path.c_str()) != 0) reason = errno;
    if (reason != 0) {
        ::unlink(partial.c_str());
        throw Refusal(FAILED, path.string() + ": cannot be written: " + std::strerror(reason) +
                                  "; make room, or choose another --out");
    }
}

void Album::print_json() const {
    Json all = Json::array();
    for (std::size_t index = 0; index < paths_.size(); ++index) {
        const std::string& prompt = options_.prompts[index];
        if (const auto failed = failures_.find(index); failed != failures_.end()) {
            all.push_back(Json{{"prompt", prompt}, {"error", failed->second.message}});
        } else if (const auto found = facts_.find(index); found != facts_.end()) {
            const Facts& facts = found->second;
            all.push_back(
                Json{{"file", paths_[index].string()}, {"milliseconds", std::round(1000 * facts.milliseconds) / 1000}});
            all.back().update(Json::parse(facts.described));
        }
    }
    // What is no UTF-8 is told of as far as it is some.
    std::printf("%s\n", all.dump(1, ' ', true, Json::error_handler_t::replace).c_str());
}

void Album::print_table() const {
    std::fprintf(stderr, "images in %s\n", options_.out.c_str());
    std::fprintf(stderr, "%-*s  %-10s  %6s  %6s  file\n", TABLE_PROMPT, "prompt", "code", "margin", "ms");
    std::int64_t negative = 0;
    for (const auto& [index, facts] : facts_) {
        const std::string margin = std::isnan(facts.margin) ? "" : in_decimals(facts.margin, 3);
        std::fprintf(stderr, "%-*s  %-10s  %6s  %6s  %s\n", TABLE_PROMPT,
                     shortened(options_.prompts[index], TABLE_PROMPT).c_str(), facts.label().c_str(), margin.c_str(),
                     in_decimals(facts.milliseconds, 0).c_str(), paths_[index].filename().c_str());
    }
    const auto warn = [&](std::size_t index, const std::string& text) {
        std::fprintf(stderr, "warning: '%s': %s\n", shortened(options_.prompts[index], 48).c_str(), text.c_str());
    };
    for (const auto& [index, facts] : facts_) {
        negative = std::max(negative, facts.negative_dropped_tokens);
        if (facts.blank) {
            warn(index, "the image is blank: untrained weights, or a broken engine (try --engine cpu)");
        }
        if (facts.dropped_tokens > 0) {
            warn(index,
                 "the prompt is too long: its last " + std::to_string(facts.dropped_tokens) + " tokens were not used");
        }
        if (facts.out_of_distribution) {
            warn(index, "the prompt is unlike those of the training (distance " + in_decimals(facts.distance, 2) +
                            "): expert " + facts.expert + " made the image");
        } else if (facts.fell_back) {
            warn(index,
                 "code " + std::to_string(facts.code) + " is not in the bundle: " + facts.expert + " made the image");
        }
    }
    if (negative > 0) {
        std::fprintf(stderr, "warning: the negative prompt is too long: its last %lld tokens were not used\n",
                     static_cast<long long>(negative));
    }
    for (const auto& [index, failed] : failures_) {
        std::fprintf(stderr, "error: '%s': %s\n", shortened(options_.prompts[index], 48).c_str(),
                     failed.message.c_str());
    }
}

}  // namespace aptp::generate
