#include "engines/openvino.hpp"

#include <algorithm>
#include <cstdint>
#include <exception>
#include <map>
#include <openvino/openvino.hpp>
#include <utility>

#include "machine/processor.hpp"
#include "machine/threads.hpp"
#include "numbers.hpp"

namespace aptp::openvino {

namespace {

constexpr const char* CPU = "CPU";
constexpr std::pair<std::int64_t, std::int64_t> LEAST{2026, 1};

// One for the process, never destroyed: at the end of a process nobody knows which models are left.
ov::Core& core() {
    static auto* const shared = new ov::Core;
    return *shared;
}

// An input's shape: rows come first and, where it is latents [B, C, H, W], sides last.
ov::PartialShape pinned(ov::PartialShape shape, const std::map<std::string, std::int64_t>& overrides) {
    if (shape.rank().is_dynamic()) return shape;
    const auto pin = [&](const char* name, std::size_t axis) {
        const auto found = overrides.find(name);
        if (found != overrides.end() && axis < shape.size() && shape[axis].is_dynamic()) shape[axis] = found->second;
    };
    pin("batch", 0);
    if (shape.size() == 4) {
        pin("height", 2);
        pin("width", 3);
    }
    return shape;
}

ov::CompiledModel compile(const std::filesystem::path& path, const GraphSettings& settings) {
    const auto model = core().read_model(path.string());
    std::map<std::string, ov::PartialShape> shapes;
    for (const auto& input : model->inputs()) {
        shapes[input.get_any_name()] = pinned(input.get_partial_shape(), settings.overrides);
    }
    model->reshape(shapes);
    // Beside products of eight bits everything else is computed in bfloat16, where the processor has it.
    const bool reduced = settings.precision == "bfloat16" ||
                         (settings.precision == "int8" && computes_in_bfloat16(processor_class()));
    ov::AnyMap properties{
        ov::hint::inference_precision(reduced ? ov::element::bf16 : ov::element::f32),
        ov::hint::performance_mode(ov::hint::PerformanceMode::LATENCY), ov::num_streams(1)};
    // Its own choice is among the processors that this process may use; it sees no quota.
    const auto threads = settings.threads ? settings.threads : quota_threads(allowed_processors());
    if (threads) properties.insert(ov::inference_num_threads(static_cast<std::int32_t>(*threads)));
    return core().compile_model(model, CPU, properties);
}

template <typename Ports>
std::vector<std::string> names_of(const Ports& ports) {
    std::vector<std::string> names;
    for (const auto& port : ports) names.push_back(port.get_any_name());
    return names;
}

ov::Shape shape_of(const Shape& shape) { return {shape.begin(), shape.end()}; }

// Views of memory that a call reads, and does not write.
ov::Tensor view(const float* values, const Shape& shape) { return {ov::element::f32, shape_of(shape), values}; }

ov::Tensor view(const Feed& feed) {
    if (feed.integers == nullptr) return view(feed.floats, feed.shape);
    return {ov::element::i64, shape_of(feed.shape), feed.integers};
}

// A graph that was compiled for this processor, and its one call under way.
class CompiledGraph final : public Graph {
public:
    CompiledGraph(const std::filesystem::path& path, ov::CompiledModel model)
        : Graph(path, names_of(model.inputs()), names_of(model.outputs())), request(model.create_infer_request()) {}

    std::vector<Tensor> run(const std::vector<std::string>& outputs, const std::vector<Feed>& feeds) override {
        try {
            for (const Feed& feed : feeds) request.set_tensor(feed.name, view(feed));
            request.infer();
            std::vector<Tensor> tensors;
            for (const std::string& name : outputs) {
                const ov::Tensor found = request.get_tensor(name);
                const ov::Shape sides = found.get_shape();
                const auto* values = found.data<const float>();
                tensors.push_back({{sides.begin(), sides.end()}, {values, values + found.get_size()}});
            }
            return tensors;
        } catch (const std::exception& error) {  // openvino's errors share no narrower base
            throw failed(error);
        }
    }

    ov::InferRequest request;
};

// An expert's UNet. It reads and writes the caller's own memory.
class ModelEngine final : public Engine {
public:
    explicit ModelEngine(std::unique_ptr<CompiledGraph> graph) : graph_(std::move(graph)) {}

    void run(const EngineCall& call) override {
        ov::InferRequest& request = graph_->request;
        try {
            condition(call.conditioning);
            const Shape shape{call.rows, call.channels, call.height, call.width};
            request.set_tensor("sample", view(call.sample, shape));
            request.set_tensor("time_embedding", view(call.time_embedding, {call.rows, call.embedding_width}));
            request.set_tensor(OUT_SAMPLE, ov::Tensor(ov::element::f32, shape_of(shape), call.output));
            request.infer();
        } catch (const std::exception& error) {
            kept_ = nullptr;
            throw graph_->failed(error);
        }
    }

private:
    // Hand the prompts over, once for as long as the same ones come.
    void condition(const std::shared_ptr<const Conditioning>& conditioning) {
        if (kept_ != nullptr && kept_ == conditioning) return;
        kept_ = nullptr;
        for (const auto& [name, tensor] : *conditioning) {
            graph_->request.set_tensor(name, view(tensor->values.data(), tensor->shape));
        }
        kept_ = conditioning;
    }

    std::unique_ptr<CompiledGraph> graph_;
    std::shared_ptr<const Conditioning> kept_;
};

std::unique_ptr<CompiledGraph> open(const std::filesystem::path& path, const GraphSettings& settings) {
    try {
        return std::make_unique<CompiledGraph>(path, compile(path, settings));
    } catch (const std::exception& error) {
        throw Failure(Status::engine, path.string() + ": does not open on engine 'openvino': " + error.what());
    }
}

}  // namespace

std::optional<std::string> missing() {
    const std::string build = ov::get_openvino_version().buildNumber;  // `2026.4.1-…`
    if (const auto reason = too_old(build.substr(0, build.find('-')))) return reason;
    try {
        core().get_property(CPU, ov::device::full_name);  // of the CPU alone: others are slow to look for
    } catch (const std::exception& error) {
        return std::string("openvino offers no device for this processor: ") + error.what();
    }
    return std::nullopt;
}

std::optional<std::string> too_old(const std::string& version) {
    const std::size_t dot = std::min(version.find('.'), version.size());
    const std::string minor = version.substr(std::min(dot + 1, version.size()));
    const std::pair<std::int64_t, std::int64_t> release{read_integer(version.substr(0, dot)).value_or(0),
                                                        read_integer(minor.substr(0, minor.find('.'))).value_or(0)};
    if (release >= LEAST) return std::nullopt;
    return "openvino " + version + " is linked, and this engine needs " + std::to_string(LEAST.first) + "." +
           std::to_string(LEAST.second) + " or newer";
}

std::unique_ptr<Graph> open_graph(const std::filesystem::path& path, const GraphSettings& settings) {
    return open(path, settings);
}

std::unique_ptr<Engine> open_unet(const std::filesystem::path& path, const GraphSettings& settings,
                                  const std::vector<std::string>& inputs) {
    auto graph = open(path, settings);
    graph->require(inputs, OUT_SAMPLE);
    return std::make_unique<ModelEngine>(std::move(graph));
}

}  // namespace aptp::openvino
