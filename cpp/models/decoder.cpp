#include "models/decoder.hpp"

#include "diffusion/pixels.hpp"
#include "errors.hpp"

namespace aptp {

GraphDecoder::GraphDecoder(DecoderEntry entry, std::int64_t channels, std::unique_ptr<Graph> graph)
    : entry_(std::move(entry)), channels_(channels), graph_(std::move(graph)) {
    graph_->require({"latent_sample"}, "sample");
}

std::vector<float> GraphDecoder::decode(const float* latents, std::int64_t height, std::int64_t width) {
    const Shape shape{1, channels_, height, width};
    std::vector<float> scaled(size_of(shape));
    to_decoder(latents, scaled.size(), entry_, scaled.data());
    Tensor image = std::move(graph_->run({"sample"}, {{"latent_sample", shape, scaled.data(), nullptr}}).front());
    const Shape expected{1, 3, height * entry_.scale, width * entry_.scale};
    if (image.shape != expected) {
        throw Failure(Status::engine,
                      "decoder: gave an image of shape " + text_of(image.shape) + " instead of " + text_of(expected));
    }
    return std::move(image.values);
}

}  // namespace aptp
