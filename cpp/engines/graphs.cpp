#include "engines/graphs.hpp"

#include "engines/providers.hpp"
#include "engines/session.hpp"
#include "errors.hpp"
#ifdef APTP_WITH_OPENVINO
#include "engines/openvino.hpp"
#endif

namespace aptp {

namespace {

// The execution provider of an engine that ONNX Runtime is, or nothing.
std::optional<std::string> provider_of(const std::string& engine) {
    if (engine == "cpu" || engine == "cuda") return engine;
    if (engine == "tensorrt-ep") return "tensorrt";
    return std::nullopt;
}

Provider provider(const std::string& engine, const Place& place) {
    const std::string name = provider_of(engine).value();
    return {name, name == "cpu" ? Place{} : place};
}

std::unique_ptr<Session> open_session(const std::filesystem::path& path, const GraphSettings& settings) {
    if (!provider_of(settings.engine)) {
        throw Failure(Status::environment, "engine '" + settings.engine + "' cannot be used: " +
                                               missing_graphs(settings.engine, {}).value_or("it runs no graphs"));
    }
    return std::make_unique<Session>(path, SessionSettings{provider(settings.engine, settings.place),
                                                           settings.overrides, settings.threads, settings.log});
}

}  // namespace

bool runs_graphs(const std::string& engine) { return engine == OPENVINO || provider_of(engine); }

std::optional<std::string> missing_graphs(const std::string& engine, const Place& place) {
    if (engine != OPENVINO) return missing(provider(engine, place));
#ifdef APTP_WITH_OPENVINO
    return openvino::missing();
#else
    return "this build runs nothing on OpenVINO (APTP_WITH_OPENVINO is off)";
#endif
}

std::unique_ptr<Graph> open_graph(const std::filesystem::path& path, const GraphSettings& settings) {
#ifdef APTP_WITH_OPENVINO
    if (settings.engine == OPENVINO) return openvino::open_graph(path, settings);
#endif
    return open_session(path, settings);
}

std::unique_ptr<Engine> open_unet(const std::filesystem::path& path, const GraphSettings& settings,
                                  const std::vector<std::string>& inputs) {
#ifdef APTP_WITH_OPENVINO
    if (settings.engine == OPENVINO) return openvino::open_unet(path, settings, inputs);
#endif
    auto session = open_session(path, settings);
    session->require(inputs, OUT_SAMPLE);
    return std::make_unique<SessionEngine>(std::move(session));
}

}  // namespace aptp
