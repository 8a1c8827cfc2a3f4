#include "bundle/compiled.hpp"

#include <algorithm>
#include <set>

#include "files/sha256.hpp"
#include "files/verified.hpp"

namespace aptp::compiled {
namespace {

constexpr std::int64_t LARGEST = 1 << 16;
constexpr std::int64_t MOST_GATES = 1 << 14;

const std::vector<std::string>& kinds() {
    static const std::vector<std::string> names{"aoti", "tensorrt", SUPERNET};
    return names;
}

const std::vector<std::string>& precisions() {
    static const std::vector<std::string> names{"float32", "bfloat16", "float16"};
    return names;
}

Range parse_range(Fields& profile, const std::string& axis) {
    const auto found = profile.items(
        axis, [](const Json& item, const std::string& where) { return as_integer(item, where, 1, LARGEST); });
    if (found.size() != 3 || !std::is_sorted(found.begin(), found.end())) {
        throw profile.error(axis, "must be three integers, least, usual and most, none below the one before");
    }
    return {found[0], found[1], found[2]};
}

Table<std::string> parse_target(Fields& fields) {
    Table<std::string> target = fields.texts("target");
    for (const auto& [name, value] : target) {
        if (!is_printable(name) || !is_printable(value) || name.find(' ') != std::string::npos) {
            throw fields.error("target", repr(name) + ": names are words, and values printable");
        }
    }
    return target;
}

std::string range_line(const char* axis, const Range& range) {
    return std::string("profile ") + axis + " " + std::to_string(range.least) + " " + std::to_string(range.usual) +
           " " + std::to_string(range.most) + "\n";
}

// Everything about an entry but its identity, as one text.
std::string outline(const CompiledEntry& entry) {
    std::string text = entry.kind + "\n" + entry.file + "\n" + entry.precision + "\n" +
                       range_line("batch", entry.batch) + range_line("height", entry.height) +
                       range_line("width", entry.width);
    for (const auto& [name, value] : entry.target) text += name + " " + value + "\n";
    return text;
}

std::vector<std::string> supernets(const ExpertEntry& expert) {
    std::vector<std::string> found;
    for (const CompiledEntry& entry : expert.compiled) {
        if (entry.kind == SUPERNET) found.push_back(outline(entry));
    }
    return found;
}

bool are_all_kept(const SupernetGates& gates) {
    const std::vector<float> kept = gates.kept();
    return std::all_of(kept.begin(), kept.end(), [](float gate) { return gate == 1.0F; });
}

}  // namespace

std::string identity(const CompiledEntry& entry, const ModelEntry& model, const Table<FileEntry>& files,
                     const SupernetGates* gates) {
    std::string lines = "kind " + entry.kind + "\nprecision " + entry.precision + "\nmodel " + model.identity + "\n";
    for (const std::string& path : model.paths()) lines += "file " + files.find(path)->second.sha256 + "\n";
    if (entry.kind == SUPERNET && gates != nullptr) {
        lines += "gates " + std::to_string(gates->count) + " " + gates->bits + "\n";
    }
    lines += range_line("batch", entry.batch) + range_line("height", entry.height) + range_line("width", entry.width);
    for (const auto& [name, value] : entry.target) lines.append("target ").append(name + " " + value + "\n");
    return sha256(lines);
}

CompiledEntry parse(Fields& fields) {
    Fields profile = fields.fields("profile");
    CompiledEntry entry;
    entry.kind = fields.text("kind", kinds());
    entry.file = check_path(fields.text("file"), fields.where + ".file");
    entry.precision = fields.text("precision", precisions());
    entry.batch = parse_range(profile, "batch");
    entry.height = parse_range(profile, "height");
    entry.width = parse_range(profile, "width");
    entry.target = parse_target(fields);
    entry.identity = fields.digest("identity");
    profile.close();
    fields.close();
    return entry;
}

SupernetGates parse_gates(Fields& fields) {
    SupernetGates gates{fields.integer("count", 1, MOST_GATES), fields.text("bits")};
    const std::int64_t digits = (gates.count + 3) / 4;
    const bool has_digits = static_cast<std::int64_t>(gates.bits.size()) == digits &&
                            gates.bits.find_first_not_of("0123456789abcdef") == std::string::npos;
    // What the last digit has left over must be 0.
    const int left = static_cast<int>(4 * digits - gates.count);
    const auto last = has_digits ? std::string("0123456789abcdef").find(gates.bits.back()) : 0;
    if (!has_digits || (last & ((1U << left) - 1)) != 0) {
        throw fields.error("bits", "must be " + std::to_string(gates.count) + " bits in " + std::to_string(digits) +
                                       " hexadecimal digits, then 0");
    }
    fields.close();
    return gates;
}

void check(const ExpertEntry& expert, const Table<FileEntry>& files, const std::string& where) {
    std::set<std::vector<std::string>> seen;
    for (std::size_t index = 0; index < expert.compiled.size(); ++index) {
        const CompiledEntry& entry = expert.compiled[index];
        const std::string place = where + ".compiled[" + std::to_string(index) + "]";
        if (files.find(entry.file) == files.end()) {
            throw Failure(Status::manifest, place + ": names the file " + repr(entry.file) + ", which is not there");
        }
        std::vector<std::string> key{entry.kind, entry.precision};
        for (const auto& [name, value] : entry.target) key.insert(key.end(), {name, value});
        if (!seen.insert(key).second) {
            throw Failure(Status::manifest, place + ": is a second " + entry.kind + " engine for the same target");
        }
        if (entry.kind == SUPERNET && !expert.gates) {
            throw Failure(Status::manifest, where + ".gates: is missing; a supernet follows the gates it is given");
        }
        if (identity(entry, expert.model, files, expert.gates ? &*expert.gates : nullptr) != entry.identity) {
            throw Failure(Status::manifest, place +
                                                ".identity: is not that of this model, precision, profile and "
                                                "target; build the engine again");
        }
    }
}

void check_supernets(const Table<ExpertEntry>& experts) {
    const ExpertEntry& first = experts.begin()->second;
    const SupernetGates* gates = nullptr;  // of the first expert that has any
    for (const auto& [name, expert] : experts) {
        if (gates == nullptr && expert.gates) gates = &*expert.gates;
        const std::string where = "manifest.experts " + repr(name);
        if (supernets(expert) != supernets(first)) {
            throw Failure(Status::manifest, where + ".compiled: its supernet is not that of the other experts");
        }
        if (expert.gates && expert.gates->count != gates->count) {
            throw Failure(Status::manifest, where + ".gates: are not as many as those of the other experts");
        }
        if (name == DENSE && expert.gates && !are_all_kept(*expert.gates)) {
            throw Failure(Status::manifest, where + ".gates: must all be 1, since it lacks nothing");
        }
    }
}

}  // namespace aptp::compiled
