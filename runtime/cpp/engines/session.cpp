#include "engines/session.hpp"

#include <algorithm>

#include "engines/configure.hpp"
#include "engines/environment.hpp"
#include "errors.hpp"

namespace aptp {

namespace {

constexpr int FATAL_AND_ERROR = 3;
constexpr const char* OUTPUT = "out_sample";

Ort::SessionOptions options_of(const SessionSettings& settings) {
    Ort::SessionOptions options;
    options.SetLogSeverityLevel(FATAL_AND_ERROR);
    options.SetInterOpNumThreads(1);
    options.SetIntraOpNumThreads(static_cast<int>(settings.threads.value_or(0)));
    // Threads that spin for a session's next call take the cores from the call of another session. They still spin
    // inside a call.
    options.AddConfigEntry("session.force_spinning_stop", "1");
    for (const auto& [name, size] : settings.overrides) {
        Ort::ThrowOnError(Ort::GetApi().AddFreeDimensionOverrideByName(options, name.c_str(), size));
    }
    configure(options, settings.provider, settings.fast);
    return options;
}

std::string listed(std::vector<std::string> names) {
    std::sort(names.begin(), names.end());
    std::string text;
    for (const std::string& name : names) text += (text.empty() ? "'" : ", '") + name + "'";
    return "[" + text + "]";
}

std::vector<const char*> pointers(const std::vector<std::string>& names) {
    std::vector<const char*> found;
    for (const std::string& name : names) found.push_back(name.c_str());
    return found;
}

// A view of a feed's memory, which ONNX Runtime reads and does not write.
Ort::Value value_of(const Ort::MemoryInfo& place, const Feed& feed) {
    const std::size_t size = size_of(feed.shape);
    if (feed.integers != nullptr) {
        return Ort::Value::CreateTensor<std::int64_t>(place, const_cast<std::int64_t*>(feed.integers), size,
                                                      feed.shape.data(), feed.shape.size());
    }
    return Ort::Value::CreateTensor<float>(place, const_cast<float*>(feed.floats), size, feed.shape.data(),
                                           feed.shape.size());
}

Tensor tensor_of(const Ort::Value& value) {
    const auto info = value.GetTensorTypeAndShapeInfo();
    if (info.GetElementType() != ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT) {
        throw Ort::Exception("gave an output that is not float32", ORT_FAIL);
    }
    Tensor tensor;
    tensor.shape = info.GetShape();
    const float* values = value.GetTensorData<float>();
    tensor.values.assign(values, values + info.GetElementCount());
    return tensor;
}

}  // namespace

struct Session::State {
    std::string graph;
    Ort::MemoryInfo place = Ort::MemoryInfo::CreateCpu(OrtDeviceAllocator, OrtMemTypeDefault);
    Ort::Session session{nullptr};
    std::vector<std::string> inputs;
    std::vector<std::string> outputs;
    bool is_on_gpu = false;
};

Session::Session(const std::filesystem::path& graph, const SessionSettings& settings) {
    Ort::Env& env = environment();
    state_ = std::make_unique<State>();
    state_->graph = graph.string();
    state_->is_on_gpu = settings.provider.is_on_gpu();
    try {
        state_->session = Ort::Session(env, graph.c_str(), options_of(settings));
        state_->inputs = state_->session.GetInputNames();
        state_->outputs = state_->session.GetOutputNames();
    } catch (const Ort::Exception& error) {
        throw Failure(Status::engine,
                      state_->graph + ": does not open on provider '" + settings.provider.name + "': " + error.what());
    }
}

Session::~Session() = default;

void Session::require(std::vector<std::string> inputs, const std::string& output) const {
    std::vector<std::string> taken = state_->inputs;
    std::sort(taken.begin(), taken.end());
    std::sort(inputs.begin(), inputs.end());
    const auto& outputs = state_->outputs;
    if (taken != inputs || std::find(outputs.begin(), outputs.end(), output) == outputs.end()) {
        throw Failure(Status::engine, state_->graph + ": takes " + listed(taken) + " and gives " + listed(outputs) +
                                          ", and the manifest says " + listed(inputs) + " and '" + output +
                                          "'; build the bundle again");
    }
}

std::vector<Tensor> Session::run(const std::vector<std::string>& outputs, const std::vector<Feed>& feeds) const {
    try {
        std::vector<const char*> names;
        std::vector<Ort::Value> values;
        for (const Feed& feed : feeds) {
            names.push_back(feed.name.c_str());
            values.push_back(value_of(state_->place, feed));
        }
        const std::vector<const char*> wanted = pointers(outputs);
        const auto results = state_->session.Run(Ort::RunOptions{nullptr}, names.data(), values.data(), values.size(),
                                                 wanted.data(), wanted.size());
        std::vector<Tensor> tensors;
        for (const Ort::Value& result : results) tensors.push_back(tensor_of(result));
        return tensors;
    } catch (const Ort::Exception& error) {
        throw Failure(Status::engine, state_->graph + ": failed while running: " + error.what());
    }
}

struct GraphEngine::Bound {
    explicit Bound(Ort::Session& session) : binding(session) {}
    Ort::IoBinding binding;
};

GraphEngine::GraphEngine(std::unique_ptr<Session> session) : session_(std::move(session)) {}

GraphEngine::~GraphEngine() = default;

void GraphEngine::run(const EngineCall& call) {
    Session::State& state = *session_->state_;
    try {
        if (bound_ == nullptr || kept_ != call.conditioning) {
            kept_ = nullptr;
            bound_ = std::make_unique<Bound>(state.session);
            for (const auto& [name, tensor] : *call.conditioning) {
                const Feed feed{name, tensor->shape, tensor->values.data(), nullptr};
                bound_->binding.BindInput(name.c_str(), value_of(state.place, feed));
            }
            if (state.is_on_gpu) bound_->binding.SynchronizeInputs();
            kept_ = call.conditioning;
        }
        Ort::IoBinding& binding = bound_->binding;
        const Shape shape{call.rows, call.channels, call.height, call.width};
        binding.BindInput("sample", value_of(state.place, {"sample", shape, call.sample, nullptr}));
        binding.BindInput("timestep", value_of(state.place, {"timestep", {call.rows}, call.timestep, nullptr}));
        // Where it is written to is ours, so ONNX Runtime refuses an output of another shape.
        binding.BindOutput(OUTPUT, value_of(state.place, {OUTPUT, shape, call.output, nullptr}));
        state.session.Run(Ort::RunOptions{nullptr}, binding);
        if (state.is_on_gpu) binding.SynchronizeOutputs();
    } catch (const Ort::Exception& error) {
        bound_ = nullptr;
        throw Failure(Status::engine, state.graph + ": failed while running: " + error.what());
    }
}

}  // namespace aptp
