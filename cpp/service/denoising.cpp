#include "service/denoising.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

#include "errors.hpp"

namespace aptp {

Plan constant_plan(const std::string& expert, std::size_t rows) { return Plan(rows, expert); }

Request::Request(Plan plan, Trajectory trajectory, std::array<std::int64_t, 3> shape, TimeEmbeddings embeddings,
                 Conditioning conditioning, std::optional<Conditioning> negative, float guidance)
    : plan_(std::move(plan)),
      trajectory_(std::move(trajectory)),
      shape_(shape),
      embeddings_(std::move(embeddings)),
      conditioning_(std::move(conditioning)),
      negative_(std::move(negative)),
      guidance_(guidance) {
    assert(plan_.size() == trajectory_.course().rows.size() && "a plan names one expert per row");
}

const float* Request::time_embedding() const {
    return embeddings().values.data() + trajectory_.position() * static_cast<std::size_t>(embedding_width());
}

std::vector<const Conditioning*> Request::halves() const {
    if (!negative_) return {&conditioning_};
    return {&*negative_, &conditioning_};
}

void Request::write_input(float* sample) const {
    trajectory_.write_input(sample);
    if (negative_) std::copy_n(sample, trajectory_.size(), sample + trajectory_.size());
}

void Request::advance(const float* output) {
    if (negative_) {
        trajectory_.advance(output + trajectory_.size(), output, guidance_);
    } else {
        trajectory_.advance(output);
    }
}

const float* Request::result() const {
    if (!trajectory_.is_finite()) {
        throw Failure(Status::engine, "expert '" + plan_.back() + "': the latents are not finite after the last step");
    }
    return trajectory_.latents();
}

}  // namespace aptp
