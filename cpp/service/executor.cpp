#include "service/executor.hpp"

#include <utility>

#include "diffusion/noise.hpp"
#include "errors.hpp"
#include "models/router_output.hpp"
#include "numbers.hpp"

namespace aptp {

namespace {

// An engine or the decoder, what is kept between its calls, and the models, which must outlive both.
struct Tool final : Opened {
    std::shared_ptr<Models> models;
    std::unique_ptr<Engine> engine;
    std::unique_ptr<Decoder> decoder;
    std::optional<Batch> batch;  // of the latest call
};

// All work of an executor is requests.
Request& request_of(Work& work) { return static_cast<Request&>(work); }

Tool& tool_of(Opened& engine) { return static_cast<Tool&>(engine); }

// Whose health it is: an expert's, whatever its engines are specialised to.
Patient patient(const Models& models, const ShapeBucket& bucket) { return {&models, bucket.model}; }

// The latents as they start: the caller's, or noise.
Trajectory start(const Request& request) {
    const ResolvedParams& params = request.params();
    if (!params.seed) return {request.steps(), params.latents.data(), params.latents.size()};
    const auto [channels, height, width] = params.shape;
    std::vector<float> noise(static_cast<std::size_t>(channels * height * width));
    normal(*params.seed, noise.data(), noise.size());
    return {request.steps(), noise.data(), noise.size()};
}

// What the UNet gets of a prompt for an expert.
Conditioning conditioning_of(Models& models, const std::string& prompt, const std::string& expert) {
    Conditioning inputs = models.condition(prompt);
    inputs.merge(models.own_conditioning(expert));
    return inputs;
}

// The latents of a request, to be denoised by an expert. The negative prompt is not read where guidance is off.
std::shared_ptr<Denoising> denoising_of(const Request& request, const std::string& expert) {
    Models& models = *request.models();
    const ResolvedParams& params = request.params();
    std::optional<Conditioning> negative;
    if (params.is_guided()) negative = conditioning_of(models, params.negative_prompt, expert);
    return std::make_shared<Denoising>(
        expert, start(request), params.shape, models.time_embeddings(expert, request.steps()),
        conditioning_of(models, request.prompt(), expert), std::move(negative), static_cast<float>(params.guidance));
}

}  // namespace

void Executor::prepare(Work& work) {
    const Seconds begin = steady_seconds();
    Request& request = request_of(work);
    Models& models = *request.models();
    const ResolvedParams& params = request.params();
    RoutingDecision choice = choose(request);
    const std::int64_t dropped = models.dropped_tokens(request.prompt(), !params.expert);
    const std::int64_t unread = params.is_guided() ? models.dropped_tokens(params.negative_prompt, false) : 0;
    const auto denoising = denoising_of(request, choice.expert);
    request.begin(std::move(choice), denoising, {dropped, unread}, steady_seconds() - begin, keys_);
}

std::unique_ptr<Opened> Executor::open(Key key) {
    const auto engine_key = keys_.at(key);
    auto tool = std::make_unique<Tool>();
    tool->models = engine_key ? engine_key->models.lock() : nullptr;
    if (!tool->models) throw Failure(Status::closed, "the version of the bundle is gone, and with it who asked");
    if (engine_key->decodes()) {
        tool->decoder = tool->models->open_decoder(engine_key->bucket);
        return tool;
    }
    try {
        tool->engine = tool->models->open_engine(engine_key->bucket);
    } catch (...) {
        health_.failed(patient(*tool->models, engine_key->bucket), clock_());
        throw;
    }
    return tool;
}

void Executor::call(Key key, Opened& engine, const std::vector<Work*>& works) {
    if (tool_of(engine).decoder) {
        decode(engine, works);
        return;
    }
    const auto engine_key = keys_.at(key);
    const Patient expert = patient(*tool_of(engine).models, engine_key->bucket);
    try {
        step(key, engine, works);
    } catch (...) {
        health_.failed(expert, clock_());
        throw;
    }
    health_.worked(expert);
}

void Executor::step(Key key, Opened& engine, const std::vector<Work*>& works) {
    Denoisings denoisings;
    for (Work* work : works) denoisings.push_back(request_of(*work).denoising());
    Tool& tool = tool_of(engine);
    if (!tool.batch || tool.batch->denoisings() != denoisings) tool.batch.emplace(denoisings);
    const Seconds begin = steady_seconds();
    tool.batch->run(*tool.engine);
    const Seconds seconds = steady_seconds() - begin;
    stats_.called(denoisings, seconds);
    keys_.called(key, static_cast<std::int64_t>(denoisings.size()), tool.batch->rows(), seconds);
}

void Executor::decode(Opened& engine, const std::vector<Work*>& works) {
    for (Work* work : works) {
        Request& request = request_of(*work);
        const auto& shape = request.params().shape;
        const float* latents = request.denoising()->result();
        const Seconds begin = steady_seconds();
        const std::vector<float> image = tool_of(engine).decoder->decode(latents, shape[1], shape[2]);
        request.decoded(image, steady_seconds() - begin);
        stats_.decoded(request.choice().expert);
    }
}

RoutingDecision Executor::choose(const Request& request) const {
    Models& models = *request.models();
    const Manifest& manifest = models.manifest();
    RoutingDecision choice;
    if (const auto& asked = request.params().expert) {
        refuse_quarantined(models, *asked);
        choice.expert = *asked;
        if (*asked != DENSE) choice.code = read_integer(*asked);
        return choice;
    }
    const RouterOutput output = models.route(request.prompt());
    const auto [name, out_of_distribution] = wanted(manifest.router, output);
    std::optional<std::string> serving = name;
    if (!manifest.experts.count(name) || is_quarantined(models, name)) serving = manifest.router.fallback;
    if (!serving) {
        refuse_quarantined(models, name);
        check_expert(manifest, name, " and no fallback");
    }
    refuse_quarantined(models, *serving);
    choice.expert = *serving;
    choice.code = output.code;
    choice.routed = true;
    choice.margin = output.margin;
    choice.fell_back = *serving != name;
    choice.distance = output.distance;
    choice.out_of_distribution = out_of_distribution;
    return choice;
}

void Executor::refuse_quarantined(const Models& models, const std::string& expert) const {
    if (!is_quarantined(models, expert)) return;
    throw Failure(Status::code_unavailable, "expert '" + expert + "' failed " + std::to_string(health_.failures()) +
                                                " times in a row and is left alone for " +
                                                in_digits(health_.seconds()) +
                                                " s; the log says why. Ask for another code, or again later");
}

bool Executor::is_quarantined(const Models& models, const std::string& expert) const {
    return health_.quarantined({&models, models.engine_of(expert)}, clock_());
}

}  // namespace aptp
