#include "service/denoising.hpp"

#include <algorithm>
#include <utility>

#include "errors.hpp"

namespace aptp {

Denoising::Denoising(std::string expert, Trajectory trajectory, std::array<std::int64_t, 3> shape,
                     std::shared_ptr<const Tensor> time_embeddings, Conditioning conditioning,
                     std::optional<Conditioning> negative, float guidance)
    : expert_(std::move(expert)),
      trajectory_(std::move(trajectory)),
      shape_(shape),
      time_embeddings_(std::move(time_embeddings)),
      conditioning_(std::move(conditioning)),
      negative_(std::move(negative)),
      guidance_(guidance) {}

const float* Denoising::time_embedding() const {
    return time_embeddings_->values.data() + trajectory_.position() * static_cast<std::size_t>(embedding_width());
}

std::vector<const Conditioning*> Denoising::halves() const {
    if (!negative_) return {&conditioning_};
    return {&*negative_, &conditioning_};
}

void Denoising::write_input(float* sample) const {
    trajectory_.write_input(sample);
    if (negative_) std::copy_n(sample, trajectory_.size(), sample + trajectory_.size());
}

void Denoising::advance(const float* output) {
    if (negative_) {
        trajectory_.advance(output + trajectory_.size(), output, guidance_);
    } else {
        trajectory_.advance(output);
    }
}

const float* Denoising::result() const {
    if (!trajectory_.is_finite()) {
        throw Failure(Status::engine, "expert '" + expert_ + "': the latents are not finite after the last step");
    }
    return trajectory_.latents();
}

}  // namespace aptp
