#include "service/executor.hpp"

#include <cstdio>
#include <utility>

#include "diffusion/noise.hpp"
#include "errors.hpp"
#include "models/route.hpp"

namespace aptp {

namespace {

// An engine or the decoder, what is kept between its calls, and the models, which must outlive both.
struct Tool final : Opened {
    std::shared_ptr<Models> models;
    std::unique_ptr<Engine> engine;
    std::unique_ptr<Decoder> decoder;
    std::optional<Batch> batch;  // of the latest call
};

// All work of a crew is jobs.
Job& job_of(Work& work) { return static_cast<Job&>(work); }

Tool& tool_of(Opened& engine) { return static_cast<Tool&>(engine); }

// Whose health it is: an expert's, whatever its engines are specialised to.
Patient patient(const Models& models, const Bucket& bucket) { return {&models, bucket.model}; }

Trajectory start(const Order& order) {
    const auto [channels, height, width] = order.shape;
    std::vector<float> noise = order.latents;
    if (order.seed) {
        noise.resize(static_cast<std::size_t>(channels * height * width));
        normal(*order.seed, noise.data(), noise.size());
    }
    return {order.course, noise.data(), noise.size()};
}

// What the UNet gets of a prompt for an expert.
Conditioning conditioning_of(Models& models, const std::string& prompt, const std::string& expert) {
    Conditioning inputs = models.condition(prompt);
    inputs.merge(models.own_conditioning(expert));
    return inputs;
}

// What the clocks of a plan's experts say of a course.
TimeEmbeddings embeddings_of(Models& models, const Plan& plan, const std::shared_ptr<const Course>& course) {
    TimeEmbeddings found;
    for (const std::string& expert : plan) {
        if (found.count(expert) == 0) found[expert] = models.time_embeddings(expert, course);
    }
    return found;
}

// The request for an image of an order by an expert. The negative prompt is not read where guidance is 1.
std::shared_ptr<Request> request_of(Models& models, const Order& order, const std::string& expert) {
    std::optional<Conditioning> negative;
    const auto& [prompt, settings] = std::tie(order.prompt, order.settings);
    if (settings.guidance != 1) negative = conditioning_of(models, settings.negative_prompt, expert);
    Plan plan = constant_plan(expert, order.course->rows.size());
    TimeEmbeddings embeddings = embeddings_of(models, plan, order.course);
    return std::make_shared<Request>(std::move(plan), start(order), order.shape, std::move(embeddings),
                                     conditioning_of(models, prompt, expert), std::move(negative),
                                     static_cast<float>(settings.guidance));
}

std::string in_digits(double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%g", value);
    return text;
}

}  // namespace

void Crew::prepare(Work& work) {
    const Seconds begin = steady_seconds();
    Job& job = job_of(work);
    const Order& order = job.order();
    Models& models = *job.models();
    Choice choice = choose(job);
    const bool guided = order.settings.guidance != 1;
    const std::int64_t dropped = models.dropped_tokens(order.prompt, !order.expert);
    const std::int64_t unread = guided ? models.dropped_tokens(order.settings.negative_prompt, false) : 0;
    const auto request = request_of(models, order, choice.expert);
    job.begin(std::move(choice), request, {dropped, unread}, steady_seconds() - begin, places_);
}

std::unique_ptr<Opened> Crew::open(Key key) {
    const auto place = places_.at(key);
    auto tool = std::make_unique<Tool>();
    tool->models = place ? place->models.lock() : nullptr;
    if (!tool->models) throw Failure(Status::closed, "the version of the bundle is gone, and with it who asked");
    if (place->decodes()) {
        tool->decoder = tool->models->open_decoder(place->bucket);
        return tool;
    }
    try {
        tool->engine = tool->models->open_engine(place->bucket);
    } catch (...) {
        health_.failed(patient(*tool->models, place->bucket), clock_());
        throw;
    }
    return tool;
}

void Crew::call(Key key, Opened& engine, const std::vector<Work*>& works) {
    if (tool_of(engine).decoder) {
        decode(engine, works);
        return;
    }
    const auto place = places_.at(key);
    const Patient expert = patient(*tool_of(engine).models, place->bucket);
    try {
        step(key, engine, works);
    } catch (...) {
        health_.failed(expert, clock_());
        throw;
    }
    health_.worked(expert);
}

void Crew::step(Key key, Opened& engine, const std::vector<Work*>& works) {
    Requests requests;
    std::vector<std::string> experts;
    for (Work* work : works) {
        requests.push_back(job_of(*work).request());
        experts.push_back(requests.back()->expert());
    }
    Tool& tool = tool_of(engine);
    if (!tool.batch || tool.batch->requests() != requests) tool.batch.emplace(requests);
    const Seconds begin = steady_seconds();
    tool.batch->run(*tool.engine);
    const Seconds seconds = steady_seconds() - begin;
    tally_.called(requests, experts, seconds);
    places_.called(key, static_cast<std::int64_t>(requests.size()), tool.batch->rows(), seconds);
}

void Crew::decode(Opened& engine, const std::vector<Work*>& works) {
    for (Work* work : works) {
        Job& job = job_of(*work);
        const auto& shape = job.order().shape;
        const float* latents = job.request()->result();
        const Seconds begin = steady_seconds();
        const std::vector<float> image = tool_of(engine).decoder->decode(latents, shape[1], shape[2]);
        job.decoded(image, steady_seconds() - begin);
        tally_.decoded(job.choice().expert);
    }
}

Choice Crew::choose(const Job& job) const {
    Models& models = *job.models();
    const Manifest& manifest = models.manifest();
    Choice choice;
    if (const auto& asked = job.order().expert) {
        refuse_quarantined(models, *asked);
        choice.expert = *asked;
        if (*asked != DENSE) choice.code = std::stoll(*asked);
        return choice;
    }
    const Route route = models.route(job.order().prompt);
    const auto [name, unfamiliar] = wanted(manifest.router, route);
    std::optional<std::string> serving = name;
    if (!manifest.experts.count(name) || is_quarantined(models, name)) serving = manifest.router.fallback;
    if (!serving) {
        refuse_quarantined(models, name);
        check_expert(manifest, name, " and no fallback");
    }
    refuse_quarantined(models, *serving);
    choice.expert = *serving;
    choice.code = route.code;
    choice.routed = true;
    choice.margin = route.margin;
    choice.fell_back = *serving != name;
    choice.distance = route.distance;
    choice.unfamiliar = unfamiliar;
    return choice;
}

void Crew::refuse_quarantined(const Models& models, const std::string& expert) const {
    if (!is_quarantined(models, expert)) return;
    throw Failure(Status::code_unavailable, "expert '" + expert + "' failed " + std::to_string(health_.failures()) +
                                                " times in a row and is left alone for " +
                                                in_digits(health_.seconds()) +
                                                " s; the log says why. Ask for another code, or again later");
}

bool Crew::is_quarantined(const Models& models, const std::string& expert) const {
    return health_.quarantined({&models, models.engine_of(expert)}, clock_());
}

}  // namespace aptp
