// Untrusted JSON: bytes to plain values within caps, and typed access to their fields.
//
// Refuses duplicate keys, NaN, Infinity, deep nesting, big numbers, unknown fields and wrong types. Whatever the bytes
// are, the only exception that leaves here is a Failure with Status::manifest.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "errors.hpp"
#include "files/table.hpp"

namespace aptp {

inline constexpr std::size_t DOCUMENT_BYTES = 4 * 1024 * 1024;
inline constexpr std::size_t DOCUMENT_DEPTH = 32;                        // of nested objects and lists
inline constexpr std::int64_t DOCUMENT_INTEGER = std::int64_t{1} << 53;  // the largest, and the smallest below 0
inline constexpr std::size_t DOCUMENT_TEXT = 4096;                       // characters in a string

using Json = nlohmann::json;

// What a document may be; the manifest's caps are the defaults, the bundle's own tables may be larger.
struct DocumentCaps {
    std::size_t bytes = DOCUMENT_BYTES;
    std::size_t depth = DOCUMENT_DEPTH;
};

// The JSON object in `data`; `name` is what messages call it. Throws Failure (manifest).
Json decode(std::string_view data, const std::string& name, DocumentCaps caps = {});

// One JSON object whose fields are taken by name and type; `close` refuses what was not taken. Every member throws
// Failure (manifest). The value must outlive it.
class Fields {
public:
    // `lenient` is for documents of a newer minor version, where unknown fields are ignored.
    Fields(const Json& value, std::string where, bool lenient = false);

    const Json& raw(const std::string& name);
    bool has(const std::string& name);  // whether an optional field is there
    std::string text(const std::string& name, const std::vector<std::string>& choices = {});
    Table<std::string> texts(const std::string& name);
    std::string digest(const std::string& name);
    std::int64_t integer(const std::string& name, std::int64_t low = 0, std::int64_t high = DOCUMENT_INTEGER);
    double number(const std::string& name);
    bool flag(const std::string& name);
    Fields fields(const std::string& name);

    // A list of at least one item: `build(value, where)` for each.
    template <typename Build>
    auto items(const std::string& name, Build build) {
        const Json& value = list(name);
        std::vector<decltype(build(value, std::string()))> found;
        found.reserve(value.size());
        for (std::size_t index = 0; index < value.size(); ++index) {
            found.push_back(build(value[index], where + "." + name + "[" + std::to_string(index) + "]"));
        }
        return found;
    }

    // A list of at least one object with known fields: `build(fields)` for each.
    template <typename Build>
    auto objects(const std::string& name, Build build) {
        return items(name, [&](const Json& value, const std::string& place) {
            Fields fields(value, place, lenient);
            return build(fields);
        });
    }

    // An object whose keys are names, under the rule for strings: `build(value, where)` for each.
    template <typename Build>
    auto each(const std::string& name, Build build) {
        const Json& value = object(name);
        Table<decltype(build(value, std::string()))> found;
        for (const auto& [key, item] : value.items()) {
            const std::string place = key_place(name, key);
            found.emplace(key, build(item, place));
        }
        return found;
    }

    // The same, with an object of known fields under each key: `build(fields)`.
    template <typename Build>
    auto table(const std::string& name, Build build) {
        return each(name, [&](const Json& value, const std::string& place) {
            Fields fields(value, place, lenient);
            return build(fields);
        });
    }

    Failure error(const std::string& name, const std::string& message) const;

    // Refuse fields that nothing asked for, unless the document is of a newer minor version.
    void close() const;

    std::string where;
    bool lenient;

private:
    const Json& list(const std::string& name);
    const Json& object(const std::string& name);
    std::string key_place(const std::string& name, const std::string& key) const;  // also checks the key

    const Json* value_;
    std::set<std::string> taken_;
};

// A field that a format keeps for later: its `path` below the top level, where `*` is every item of a list or of a
// table, and `name=value` means that value alone; and why it is refused until then.
struct Reserved {
    std::string path;
    std::string reason;
};

// Refuse the fields and values of `document` that are in the table; `where` is what messages call the top level. Throws
// Failure (manifest).
void refuse_reserved(const Json& document, const std::string& where, const std::vector<Reserved>& reserved);

// `value` as a string of 1 to 4,096 characters without NUL.
std::string as_text(const Json& value, const std::string& where);
// `value` as an integer from `low` to `high`; neither booleans nor 1.0 are integers.
std::int64_t as_integer(const Json& value, const std::string& where, std::int64_t low = 0,
                        std::int64_t high = DOCUMENT_INTEGER);
double as_number(const Json& value, const std::string& where);

// Printable means ASCII here, as the format says: what else is printable changes with every version of Unicode.
bool is_printable(const std::string& text);

}  // namespace aptp
