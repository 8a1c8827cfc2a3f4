#include "models/router.hpp"

#include <algorithm>
#include <cmath>

#include "errors.hpp"

namespace aptp {

namespace {

bool is_finite(const Tensor& tensor) {
    return std::all_of(tensor.values.begin(), tensor.values.end(), [](float value) { return std::isfinite(value); });
}

}  // namespace

Router::Router(RouterEntry entry, Sessions& sessions)
    : entry_(std::move(entry)), session_(sessions.open(entry_.model)), outputs_{"similarity"} {
    if (entry_.out_of_distribution) outputs_.emplace_back("distance");
    for (const std::string& output : outputs_) session_->require({"embedding", "attention_mask"}, output);
}

RouterOutput Router::operator()(const Encoding& encoding) const {
    const Tensor& embedding = *encoding.embedding;
    const Shape frame{1, static_cast<std::int64_t>(encoding.mask.size())};
    const std::vector<Tensor> results =
        session_->run(outputs_, {{"embedding", embedding.shape, embedding.values.data(), nullptr},
                                 {"attention_mask", frame, nullptr, encoding.mask.data()}});
    const Tensor& similarity = results.front();
    if (similarity.shape != Shape{1, entry_.codes} || !is_finite(similarity)) {
        throw Failure(Status::engine, "router: gave " + text_of(similarity.shape) + " values, not " +
                                          std::to_string(entry_.codes) + " finite similarities");
    }
    RouterOutput route = choose_code(similarity.values.data(), similarity.values.size(), entry_.tie);
    if (results.size() > 1) {
        const Tensor& distance = results.back();
        if (distance.shape != Shape{1} || !is_finite(distance)) {
            throw Failure(Status::engine,
                          "router: gave " + text_of(distance.shape) + " values, not one finite distance");
        }
        route.distance = static_cast<double>(distance.values.front());
    }
    return route;
}

}  // namespace aptp
