#include "errors.hpp"

#include <algorithm>
#include <array>
#include <cstdio>

#include "files/utf8.hpp"

namespace aptp {
namespace {

constexpr std::size_t COMPARED = 64;  // bytes of the longest name that is compared
constexpr double CLOSE = 0.6;         // the least similarity of names that may be meant

struct Match {
    std::size_t first = 0, second = 0, length = 0;
};

// The longest common run of two texts, the earliest in both among equals.
Match longest_match(std::string_view one, std::string_view other) {
    Match best;
    std::vector<std::size_t> before(other.size() + 1), now(other.size() + 1);
    for (std::size_t i = 0; i < one.size(); ++i) {
        for (std::size_t j = 0; j < other.size(); ++j) {
            now[j + 1] = one[i] == other[j] ? before[j] + 1 : 0;
            if (now[j + 1] > best.length) best = {i + 1 - now[j + 1], j + 1 - now[j + 1], now[j + 1]};
        }
        before.swap(now);
    }
    return best;
}

// How many characters two texts have in common, by Ratcliff and Obershelp: the longest run, then left and right of it.
std::size_t in_common(std::string_view one, std::string_view other) {
    const Match match = longest_match(one, other);
    if (match.length == 0) return 0;
    const std::size_t after_one = match.first + match.length, after_other = match.second + match.length;
    return match.length + in_common(one.substr(0, match.first), other.substr(0, match.second)) +
           in_common(one.substr(after_one), other.substr(after_other));
}

std::string escaped(char32_t character, char quote) {
    if (character == U'\n') return "\\n";
    if (character == U'\r') return "\\r";
    if (character == U'\t') return "\\t";
    if (character == U'\\' || character == static_cast<char32_t>(quote)) return {'\\', static_cast<char>(character)};
    if (character >= 0x20 && character < 0x7F) return {static_cast<char>(character)};
    std::array<char, 12> buffer{};
    const char* form = character < 0x100 ? "\\x%02x" : character < 0x10000 ? "\\u%04x" : "\\U%08x";
    std::snprintf(buffer.data(), buffer.size(), form, static_cast<unsigned>(character));
    return buffer.data();
}

}  // namespace

const char* name_of(Status status) noexcept {
    switch (status) {
        case Status::ok:
            return "ok";
        case Status::failure:
            return "RuntimeFailure";
        case Status::usage:
            return "UsageError";
        case Status::not_a_bundle:
            return "NotABundle";
        case Status::manifest:
            return "ManifestError";
        case Status::integrity:
            return "IntegrityError";
        case Status::environment:
            return "EnvironmentMismatch";
        case Status::code_unavailable:
            return "CodeUnavailable";
        case Status::queue_full:
            return "QueueFull";
        case Status::deadline_exceeded:
            return "DeadlineExceeded";
        case Status::cancelled:
            return "Cancelled";
        case Status::closed:
            return "Closed";
        case Status::cache:
            return "CacheFailure";
        case Status::output:
            return "OutputFailure";
        case Status::engine:
            return "EngineFailure";
        case Status::unavailable:
            return "Unavailable";
        case Status::forked:
            return "Forked";
    }
    return "RuntimeFailure";
}

std::string nearest(const std::string& name, const std::vector<std::string>& known) {
    if (name.size() > COMPARED) return "";
    double best = CLOSE;
    const std::string* found = nullptr;
    for (const std::string& candidate : known) {
        const auto total = static_cast<double>(name.size() + candidate.size());
        const auto most = static_cast<double>(2 * std::min(name.size(), candidate.size()));
        if (total == 0 || most / total < CLOSE) continue;
        const double ratio = 2.0 * static_cast<double>(in_common(candidate, name)) / total;
        if (ratio > best || (ratio == best && (found == nullptr || candidate > *found))) {
            best = ratio;
            found = &candidate;
        }
    }
    return found == nullptr ? "" : " (did you mean " + repr(*found, std::string::npos) + "?)";
}

std::string repr(const std::string& text, std::size_t most) {
    std::u32string characters;
    if (const auto decoded = from_utf8(text)) {
        characters = *decoded;
    } else {
        for (const char byte : text) characters.push_back(static_cast<unsigned char>(byte));
    }
    characters.resize(std::min(characters.size(), most));
    const bool has_single = characters.find(U'\'') != std::u32string::npos;
    const char quote = has_single && characters.find(U'"') == std::u32string::npos ? '"' : '\'';
    std::string result(1, quote);
    for (const char32_t character : characters) result += escaped(character, quote);
    return result + quote;
}

}  // namespace aptp
