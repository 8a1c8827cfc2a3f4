#include "service/batch.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

#include "errors.hpp"
#include "service/dispatcher.hpp"

namespace aptp {

Batch::Batch(Denoisings denoisings) : denoisings_(std::move(denoisings)), written_(denoisings_.size()) {
    assert(!denoisings_.empty());
    row_size_ = denoisings_.front()->trajectory().size();
    embedding_width_ = denoisings_.front()->embedding_width();
    for (const auto& denoising : denoisings_) {
        assert(denoising->shape() == denoisings_.front()->shape());
        starts_.push_back(static_cast<std::size_t>(rows_));
        rows_ += denoising->rows();
    }
    const auto rows = static_cast<std::size_t>(rows_);
    sample_.resize(rows * row_size_);
    output_.resize(rows * row_size_);
    time_embedding_.resize(rows * static_cast<std::size_t>(embedding_width_));
    join_conditioning();
}

void Batch::run(Engine& engine) {
    const Seconds begin = steady_seconds();
    for (std::size_t index = 0; index < denoisings_.size(); ++index) {
        if (written_[index] != denoisings_[index]->trajectory().position()) write_input(index);
    }
    engine.run(engine_call());
    for (std::size_t index = 0; index < denoisings_.size(); ++index) {
        Denoising& denoising = *denoisings_[index];
        denoising.advance(output_.data() + starts_[index] * row_size_);
        // The next call's input now, while the state is in the processor's caches: most groups stay together.
        if (!denoising.ended()) write_input(index);
    }
    const Seconds share = (steady_seconds() - begin) / static_cast<Seconds>(denoisings_.size());
    for (const auto& denoising : denoisings_) denoising->seconds += share;
}

void Batch::write_input(std::size_t index) {
    const Denoising& denoising = *denoisings_[index];
    denoising.write_input(sample_.data() + starts_[index] * row_size_);
    if (denoising.embedding_width() != embedding_width_) {
        throw Failure(Status::engine, "the clock of expert '" + denoising.expert() + "': gave " +
                                          std::to_string(denoising.embedding_width()) + " values a row, and others " +
                                          std::to_string(embedding_width_) + "; build the bundle again");
    }
    const auto width = static_cast<std::size_t>(embedding_width_);
    for (std::size_t row = starts_[index]; row < starts_[index] + static_cast<std::size_t>(denoising.rows()); ++row) {
        std::copy_n(denoising.time_embedding(), width, time_embedding_.data() + row * width);
    }
    written_[index] = denoising.trajectory().position();
}

EngineCall Batch::engine_call() {
    const auto [channels, height, width] = denoisings_.front()->shape();
    EngineCall call;
    call.sample = sample_.data();
    call.time_embedding = time_embedding_.data();
    call.rows = rows_;
    call.embedding_width = embedding_width_;
    call.channels = channels;
    call.height = height;
    call.width = width;
    call.conditioning = conditioning_;
    call.output = output_.data();
    return call;
}

// All rows' conditioning one after another, negative prompts first within a request.
void Batch::join_conditioning() {
    const auto joined = std::make_shared<Conditioning>();
    for (const auto& [name, first] : *denoisings_.front()->halves().front()) {
        const auto tensor = std::make_shared<Tensor>();
        tensor->shape = first->shape;
        tensor->shape.front() = rows_;
        tensor->values.reserve(first->values.size() * static_cast<std::size_t>(rows_));
        for (const auto& denoising : denoisings_) {
            for (const Conditioning* half : denoising->halves()) {
                const std::vector<float>& values = half->at(name)->values;
                tensor->values.insert(tensor->values.end(), values.begin(), values.end());
            }
        }
        joined->emplace(name, tensor);
    }
    conditioning_ = joined;
}

}  // namespace aptp
