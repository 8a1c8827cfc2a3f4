#include "engines/session.hpp"

#include "engines/configure.hpp"
#include "engines/environment.hpp"
#include "errors.hpp"

namespace aptp {

namespace {

// Hand over a line of ONNX Runtime. `user` is the log.
void ORT_API_CALL hear(void* user, OrtLoggingLevel severity, const char*, const char*, const char* place,
                       const char* message) noexcept {
    try {
        (*static_cast<const Log*>(user))(std::string("onnxruntime: ") + message + " (" + place + ")",
                                         severity >= ORT_LOGGING_LEVEL_ERROR);
    } catch (...) {  // what a log throws must not end the call that it was told of
    }
}

void log_to(Ort::SessionOptions& options, const Log* log) {
    options.SetLogSeverityLevel(log == nullptr ? ORT_LOGGING_LEVEL_ERROR : ORT_LOGGING_LEVEL_WARNING);
    if (log == nullptr) return;
    Ort::ThrowOnError(Ort::GetApi().SetUserLoggingFunction(options, hear, const_cast<Log*>(log)));
}

Ort::SessionOptions options_of(const SessionSettings& settings, bool shares) {
    Ort::SessionOptions options;
    log_to(options, settings.log.get());
    if (shares) {
        options.DisablePerSessionThreads();
    } else {
        options.SetInterOpNumThreads(1);
        options.SetIntraOpNumThreads(static_cast<int>(settings.threads.value_or(default_threads())));
        // Threads that spin for a session's next call take the cores from the call of another session. They still spin
        // inside a call.
        options.AddConfigEntry("session.force_spinning_stop", "1");
    }
    for (const auto& [name, size] : settings.overrides) {
        Ort::ThrowOnError(Ort::GetApi().AddFreeDimensionOverrideByName(options, name.c_str(), size));
    }
    configure(options, settings.provider);
    return options;
}

Ort::Session open_sharing(Ort::Env& env, const std::filesystem::path& graph, const SessionSettings& settings,
                          bool shares) {
    try {
        return {env, graph.c_str(), options_of(settings, shares)};
    } catch (const Ort::Exception&) {
        if (!shares) throw;
        // The graph's fault, or there are no threads to share.
        Ort::Session session(env, graph.c_str(), options_of(settings, false));
        forgo_sharing();
        return session;
    }
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
    std::shared_ptr<const Log> log;  // outlives the session
    Ort::MemoryInfo place = Ort::MemoryInfo::CreateCpu(OrtDeviceAllocator, OrtMemTypeDefault);
    Ort::Session session{nullptr};
    bool is_on_gpu = false;
};

std::unique_ptr<Session::State> Session::open(const std::filesystem::path& graph, const SessionSettings& settings) {
    Ort::Env& env = environment();
    const bool shares = shares_threads(settings.threads);
    auto state = std::make_unique<State>();
    state->log = settings.log;
    state->is_on_gpu = settings.provider.is_on_gpu();
    try {
        state->session = open_sharing(env, graph, settings, shares);
    } catch (const Ort::Exception& error) {
        throw Failure(Status::engine,
                      graph.string() + ": does not open on provider '" + settings.provider.name + "': " + error.what());
    }
    return state;
}

Session::Session(const std::filesystem::path& graph, const SessionSettings& settings)
    : Session(open(graph, settings), graph) {}

Session::Session(std::unique_ptr<State> state, const std::filesystem::path& graph)
    : Graph(graph, state->session.GetInputNames(), state->session.GetOutputNames()), state_(std::move(state)) {}

Session::~Session() = default;

std::vector<Tensor> Session::run(const std::vector<std::string>& outputs, const std::vector<Feed>& feeds) {
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
        throw failed(error);
    }
}

struct SessionEngine::Bound {
    explicit Bound(Ort::Session& session) : binding(session) {}
    Ort::IoBinding binding;
};

SessionEngine::SessionEngine(std::unique_ptr<Session> session) : session_(std::move(session)) {}

SessionEngine::~SessionEngine() = default;

void SessionEngine::run(const EngineCall& call) {
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
        const Shape embedding{call.rows, call.embedding_width};
        binding.BindInput("time_embedding",
                          value_of(state.place, {"time_embedding", embedding, call.time_embedding, nullptr}));
        // Where it is written to is ours, so ONNX Runtime refuses an output of another shape.
        binding.BindOutput(OUT_SAMPLE, value_of(state.place, {OUT_SAMPLE, shape, call.output, nullptr}));
        state.session.Run(Ort::RunOptions{nullptr}, binding);
        if (state.is_on_gpu) binding.SynchronizeOutputs();
    } catch (const Ort::Exception& error) {
        bound_ = nullptr;
        throw session_->failed(error);
    }
}

}  // namespace aptp
