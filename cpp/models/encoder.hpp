// Prompts to embeddings: one at a time, on the CPU provider, in float32, so that nothing else matters.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "bundle/reader.hpp"
#include "engines/session.hpp"
#include "engines/tensor.hpp"
#include "models/sessions.hpp"
#include "text/tokenizer.hpp"

namespace aptp {

// A prompt's `embedding` [1, L, E], attention `mask` [1, L], and count of dropped tokens.
struct Encoding {
    std::shared_ptr<const Tensor> embedding;
    std::vector<std::int64_t> mask;
    std::int64_t dropped = 0;
};

// A text encoder with its tokenizer. Remembers the last prompts: negative ones come back. Any thread.
class Encoder {
public:
    // Throws Failure (integrity, manifest, environment, cache, engine).
    Encoder(const Bundle& bundle, const EncoderEntry& entry, Sessions& sessions);

    // Encode a prompt. Throws Failure (usage) for what is no text, Failure (engine) for values that are not finite.
    std::shared_ptr<const Encoding> operator()(const std::string& prompt);

    // Encode every prompt anew from now on.
    void forget();

private:
    using Kept = std::pair<std::string, std::shared_ptr<const Encoding>>;

    std::shared_ptr<const Encoding> encode(const std::string& prompt) const;

    EncoderEntry entry_;
    std::shared_ptr<const Tokenizer> tokenizer_;
    std::unique_ptr<Session> session_;
    std::mutex mutex_;      // over what follows
    std::list<Kept> kept_;  // latest first
    std::unordered_map<std::string, std::list<Kept>::iterator> places_;
};

}  // namespace aptp
