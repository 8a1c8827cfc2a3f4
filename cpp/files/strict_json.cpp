#include "files/strict_json.hpp"

#include <locale.h>

#include <algorithm>

#include "files/utf8.hpp"

namespace aptp {
namespace {

constexpr std::size_t SHOWN = 200;  // of a parser's message, which may quote what it read

Failure refusal(const std::string& message) { return {Status::manifest, message}; }

// Builds the value while the parser goes, so that nothing forbidden is ever stored.
class Builder : public nlohmann::json_sax<Json> {
public:
    Builder(std::string name, std::size_t depth) : name_(std::move(name)), depth_(depth) {}

    bool null() override { return put(nullptr); }
    bool boolean(bool value) override { return put(value); }
    bool string(string_t& value) override { return put(std::move(value)); }

    bool number_integer(number_integer_t value) override {
        if (value < -DOCUMENT_INTEGER) throw too_large(std::to_string(value));
        return put(value);
    }

    bool number_unsigned(number_unsigned_t value) override {
        if (value > static_cast<number_unsigned_t>(DOCUMENT_INTEGER)) throw too_large(std::to_string(value));
        return put(value);
    }

    bool number_float(number_float_t value, const string_t& text) override {
        // An integer that fits no machine word comes here as well.
        if (text.find_first_of(".eE") == string_t::npos) throw too_large(text);
        return put(value);
    }

    bool binary(binary_t&) override { return false; }  // JSON has none

    bool start_object(std::size_t) override { return open(Json::object()); }
    bool start_array(std::size_t) override { return open(Json::array()); }
    bool end_object() override { return close(); }
    bool end_array() override { return close(); }

    bool key(string_t& value) override {
        if (open_.back()->contains(value)) {
            throw refusal(name_ + ": the key " + repr(value) + " appears twice in one object");
        }
        key_ = std::move(value);
        return true;
    }

    bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception& error) override {
        // `[json.exception.parse_error.101] parse error at line 1, column 2: …; last read: '…'`
        std::string what = error.what();
        what.erase(0, std::min(what.size(), what.find("] ") + 2));
        what.resize(std::min({what.size(), what.find("; last read"), SHOWN}));
        throw refusal(name_ + ": not UTF-8 JSON, at byte " + std::to_string(position) + ": " + what);
    }

    Json root;

private:
    Failure too_large(const std::string& text) const {
        return refusal(name_ + ": the integer " + text.substr(0, 32) + " is beyond 2^53");
    }

    Json* place(Json&& value) {
        if (open_.empty()) {
            root = std::move(value);
            return &root;
        }
        if (open_.back()->is_array()) {
            open_.back()->push_back(std::move(value));
            return &open_.back()->back();
        }
        Json& slot = (*open_.back())[key_];
        slot = std::move(value);
        return &slot;
    }

    template <typename Value>
    bool put(Value&& value) {
        place(Json(std::forward<Value>(value)));
        return true;
    }

    bool open(Json&& value) {
        if (open_.size() == depth_) {
            throw refusal(name_ + ": nested deeper than " + std::to_string(depth_) + " levels");
        }
        open_.push_back(place(std::move(value)));
        return true;
    }

    bool close() {
        open_.pop_back();
        return true;
    }

    std::string name_;
    std::size_t depth_;
    std::string key_;
    std::vector<Json*> open_;  // containers that are not closed yet; the last one's siblings cannot move meanwhile
};

std::string kind_of(const Json& value) {
    if (value.is_object()) return "an object";
    if (value.is_array()) return "a list";
    if (value.is_string()) return "a string";
    if (value.is_boolean()) return "a boolean";
    return value.is_null() ? "null" : "a number";
}

using Visitor = std::function<void(const Json& value, const std::string& where)>;

// Call `seen` with every value that `path`, such as `experts.*.earned`, leads to.
void visit(const Json& value, const std::string& path, const std::string& where, const Visitor& seen) {
    if (path.empty()) return seen(value, where);
    const std::size_t dot = path.find('.');
    const std::string step = path.substr(0, dot);
    const std::string rest = dot == std::string::npos ? "" : path.substr(dot + 1);
    if (step != "*") {
        if (value.is_object() && value.contains(step)) visit(value[step], rest, where + "." + step, seen);
    } else if (value.is_array()) {
        for (std::size_t index = 0; index < value.size(); ++index) {
            visit(value[index], rest, where + "[" + std::to_string(index) + "]", seen);
        }
    } else if (value.is_object()) {
        for (const auto& [key, item] : value.items()) visit(item, rest, where + " " + repr(key), seen);
    }
}

// The C locale, in this thread, as long as it lives: the parser reads numbers by that of the thread.
class InCLocale {
public:
    InCLocale() : before_(::uselocale(c_locale())) {}
    ~InCLocale() { ::uselocale(before_); }
    InCLocale(const InCLocale&) = delete;
    InCLocale& operator=(const InCLocale&) = delete;

private:
    static ::locale_t c_locale() {
        static const ::locale_t made = ::newlocale(LC_ALL_MASK, "C", nullptr);
        return made;
    }

    ::locale_t before_;
};

bool is_digest(const std::string& text) {
    return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

}  // namespace

Json decode(std::string_view data, const std::string& name, DocumentCaps caps) {
    if (data.size() > caps.bytes) {
        throw refusal(name + ": " + std::to_string(data.size()) + " bytes, and at most " + std::to_string(caps.bytes) +
                      " are allowed");
    }
    // The parser would skip a byte order mark, and take a NUL for the end of the text.
    if (data.substr(0, 3) == "\xEF\xBB\xBF" || data.find('\0') != std::string_view::npos) {
        throw refusal(name + ": not UTF-8 JSON: holds a byte order mark or a NUL");
    }
    Builder builder(name, caps.depth);
    const InCLocale scope;
    if (!Json::sax_parse(data.begin(), data.end(), &builder)) throw refusal(name + ": not UTF-8 JSON");
    if (!builder.root.is_object()) throw refusal(name + ": the top level must be an object");
    return std::move(builder.root);
}

Fields::Fields(const Json& value, std::string place, bool is_lenient)
    : where(std::move(place)), lenient(is_lenient), value_(&value) {
    if (!value.is_object()) throw refusal(where + ": must be an object, not " + kind_of(value));
}

const Json& Fields::raw(const std::string& name) {
    taken_.insert(name);
    const auto found = value_->find(name);
    if (found == value_->end()) throw refusal(where + ": the field " + repr(name) + " is missing");
    return *found;
}

bool Fields::has(const std::string& name) {
    taken_.insert(name);
    return value_->contains(name);
}

std::string Fields::text(const std::string& name, const std::vector<std::string>& choices) {
    std::string value = as_text(raw(name), where + "." + name);
    if (!choices.empty() && std::find(choices.begin(), choices.end(), value) == choices.end()) {
        std::string listed;
        for (const std::string& choice : choices) listed += (listed.empty() ? "" : ", ") + repr(choice);
        throw error(name, repr(value) + " is not one of " + listed + nearest(value, choices));
    }
    return value;
}

Table<std::string> Fields::texts(const std::string& name) { return each(name, as_text); }

std::string Fields::digest(const std::string& name) {
    std::string value = text(name);
    if (!is_digest(value)) throw error(name, "must be 64 lower-case hexadecimal digits");
    return value;
}

std::int64_t Fields::integer(const std::string& name, std::int64_t low, std::int64_t high) {
    return as_integer(raw(name), where + "." + name, low, high);
}

double Fields::number(const std::string& name) { return as_number(raw(name), where + "." + name); }

bool Fields::flag(const std::string& name) {
    const Json& value = raw(name);
    if (!value.is_boolean()) throw error(name, "must be true or false, not " + kind_of(value));
    return value.get<bool>();
}

Fields Fields::fields(const std::string& name) { return {raw(name), where + "." + name, lenient}; }

Failure Fields::error(const std::string& name, const std::string& message) const {
    return refusal(where + "." + name + ": " + message);
}

void Fields::close() const {
    if (lenient) return;
    for (const auto& [key, item] : value_->items()) {
        if (taken_.count(key) == 0) {
            const std::vector<std::string> known(taken_.begin(), taken_.end());
            throw refusal(where + ": unknown field " + repr(key) + nearest(key, known));
        }
    }
}

const Json& Fields::list(const std::string& name) {
    const Json& value = raw(name);
    if (!value.is_array() || value.empty()) throw error(name, "must be a list of at least one item");
    return value;
}

const Json& Fields::object(const std::string& name) {
    const Json& value = raw(name);
    if (!value.is_object()) throw error(name, "must be an object, not " + kind_of(value));
    return value;
}

std::string Fields::key_place(const std::string& name, const std::string& key) const {
    std::string place = where + "." + name + " " + repr(key);
    as_text(Json(key), place);
    return place;
}

void refuse_reserved(const Json& document, const std::string& where, const std::vector<Reserved>& reserved) {
    for (const Reserved& entry : reserved) {
        const std::size_t equals = entry.path.find('=');
        visit(document, entry.path.substr(0, equals), where, [&](const Json& found, const std::string& place) {
            if (equals == std::string::npos) throw refusal(place + ": " + entry.reason);
            const std::string wanted = entry.path.substr(equals + 1);
            if (found == wanted) throw refusal(place + " " + repr(wanted) + ": " + entry.reason);
        });
    }
}

std::string as_text(const Json& value, const std::string& where) {
    const auto* text = value.get_ptr<const std::string*>();
    const std::size_t size = text == nullptr ? 0 : count_utf8(*text);
    if (size == 0 || size > DOCUMENT_TEXT) {
        throw refusal(where + ": must be a string of 1 to " + std::to_string(DOCUMENT_TEXT) + " characters");
    }
    if (text->find('\0') != std::string::npos) throw refusal(where + ": holds a NUL or half of a surrogate pair");
    return *text;
}

std::int64_t as_integer(const Json& value, const std::string& where, std::int64_t low, std::int64_t high) {
    if (!value.is_number_integer()) throw refusal(where + ": must be an integer, not " + kind_of(value));
    const auto number = value.get<std::int64_t>();
    if (number < low || number > high) {
        throw refusal(where + ": " + std::to_string(number) + " is outside " + std::to_string(low) + " to " +
                      std::to_string(high));
    }
    return number;
}

double as_number(const Json& value, const std::string& where) {
    if (!value.is_number()) throw refusal(where + ": must be a number, not " + kind_of(value));
    return value.get<double>();
}

bool is_printable(const std::string& text) {
    return std::all_of(text.begin(), text.end(), [](char one) { return one >= 0x20 && one < 0x7F; });
}

}  // namespace aptp
