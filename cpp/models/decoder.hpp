// The decoder's graph, in float32: it runs once per image, and low precision shows as banding.
#pragma once

#include <memory>

#include "bundle/schema.hpp"
#include "engines/engine.hpp"
#include "engines/graph.hpp"

namespace aptp {

// Decodes one image a call.
class GraphDecoder : public Decoder {
public:
    // Throws Failure (engine) for a graph that is no decoder.
    GraphDecoder(DecoderEntry entry, std::int64_t channels, std::unique_ptr<Graph> graph);

    std::vector<float> decode(const float* latents, std::int64_t height, std::int64_t width) override;

private:
    DecoderEntry entry_;
    std::int64_t channels_;
    std::unique_ptr<Graph> graph_;
};

}  // namespace aptp
