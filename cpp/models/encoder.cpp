#include "models/encoder.hpp"

#include <algorithm>
#include <cmath>

#include "errors.hpp"

namespace aptp {

namespace {

constexpr std::size_t KEPT_PROMPTS = 64;  // encodings; 77 tokens of 1,024 floats are 0.3 MB
constexpr std::size_t SHOWN = 32;

}  // namespace

Encoder::Encoder(const Bundle& bundle, const EncoderEntry& entry, Sessions& sessions)
    : entry_(entry), tokenizer_(Tokenizer::load(bundle, entry.tokenizer)), session_(sessions.open(entry.model)) {
    session_->require(entry.inputs, entry.output);
}

std::shared_ptr<const Encoding> Encoder::operator()(const std::string& prompt) {
    const std::lock_guard lock(mutex_);
    if (const auto found = places_.find(prompt); found != places_.end()) {
        kept_.splice(kept_.begin(), kept_, found->second);
        return kept_.front().second;
    }
    kept_.emplace_front(prompt, encode(prompt));
    places_[prompt] = kept_.begin();
    if (kept_.size() > KEPT_PROMPTS) {
        places_.erase(kept_.back().first);
        kept_.pop_back();
    }
    return kept_.front().second;
}

std::shared_ptr<const Encoding> Encoder::encode(const std::string& prompt) const {
    Tokens tokens = (*tokenizer_)(prompt);
    const Shape shape{1, static_cast<std::int64_t>(tokens.ids.size())};
    std::vector<Feed> feeds;
    for (const std::string& name : entry_.inputs) {
        feeds.push_back({name, shape, nullptr, name == "input_ids" ? tokens.ids.data() : tokens.mask.data()});
    }
    auto embedding = std::make_shared<Tensor>(std::move(session_->run({entry_.output}, feeds).front()));
    const auto& values = embedding->values;
    if (!std::all_of(values.begin(), values.end(), [](float value) { return std::isfinite(value); })) {
        throw Failure(Status::engine,
                      "encoder '" + entry_.name + "': the embedding of " + repr(prompt, SHOWN) + " is not finite");
    }
    return std::make_shared<Encoding>(Encoding{std::move(embedding), std::move(tokens.mask), tokens.dropped});
}

void Encoder::forget() {
    const std::lock_guard lock(mutex_);
    places_.clear();
    kept_.clear();
}

}  // namespace aptp
