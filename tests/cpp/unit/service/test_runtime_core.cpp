// A bundle behind a dispatcher: requests, batches of them, quarantine, versions.
#include <doctest/doctest.h>

#include <atomic>
#include <future>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "../../fakes/models.hpp"
#include "errors.hpp"
#include "service/runtime_core.hpp"

using namespace aptp;
using fakes::FakeModels;

namespace {

// One request's events, and what became of it.
struct Guest {
    std::promise<Event> promise;
    std::future<Event> end = promise.get_future();
    std::vector<Event> events;  // read after the end

    Listener listener() {
        return [this](const Event& event) {
            events.push_back(event);
            if (std::holds_alternative<Finished>(event) || std::holds_alternative<Failed>(event)) {
                promise.set_value(event);
            }
        };
    }

    std::shared_ptr<const Generated> image() {
        const Event event = end.get();
        const auto* failed = std::get_if<Failed>(&event);
        REQUIRE_MESSAGE(failed == nullptr, (failed ? failed->message : ""));
        return std::get<Finished>(event).image;
    }

    Failed failure() { return std::get<Failed>(end.get()); }
};

Opener opener(std::int64_t batch = 4, fakes::Play play = [](const std::string&) {}) {
    return [=](const std::string&) { return std::make_shared<FakeModels>(batch, play); };
}

GenerationParams asking(const char* code = nullptr, std::uint64_t seed = 0) {
    GenerationParams params;
    if (code != nullptr) params.code = code;
    params.seed = seed;
    return params;
}

std::shared_ptr<const Generated> generate(RuntimeCore& core, const std::string& prompt,
                                          const GenerationParams& params = {}) {
    Guest guest;
    core.submit(prompt, params, guest.listener());
    return guest.image();
}

}  // namespace

TEST_CASE("an image, and how it came to be") {
    RuntimeCore core("here", opener(), {});
    const auto image = generate(core, "fives");
    CHECK(image->pixels.size() == 3 * 16 * 16);
    CHECK(image->choice.expert == "1");
    CHECK(image->choice.code == 1);
    CHECK(image->choice.margin == 0.25);
    CHECK(image->params.seed == 0);
    CHECK(image->params.steps == fakes::STEPS);
    CHECK(image->dropped_tokens == 0);
    CHECK(image->negative_dropped_tokens == 1);
    CHECK_FALSE(image->blank);
    CHECK(generate(core, "fives")->pixels == image->pixels);
    CHECK(generate(core, "fives", asking(nullptr, 1))->pixels != image->pixels);
}

TEST_CASE("a code that the bundle lacks falls back; one that is asked for does not") {
    RuntimeCore core("here", opener(), {});
    const auto image = generate(core, "ab");
    CHECK(image->choice.expert == "dense");
    CHECK(image->choice.code == 2);
    CHECK(image->choice.fell_back);
    CHECK_THROWS_AS(core.submit("ab", asking("2"), [](const Event&) {}), Failure);
    for (const char* code : {"4", "-1", "", "x", "1x", "99999999999999999999"}) {
        CAPTURE(code);
        try {
            core.submit("ab", asking(code), [](const Event&) {});
            FAIL("was let in");
        } catch (const Failure& failure) {
            CHECK(failure.status() == Status::usage);
        }
    }
}

TEST_CASE("images are the same alone and in a crowd") {
    std::vector<std::vector<std::uint8_t>> alone;
    const std::vector<std::string> prompts{"a", "bb", "fives", "ccc", "ninechars"};
    const auto asked = [](std::size_t index) {
        GenerationParams each = asking(nullptr, index);
        each.guidance = index % 2 == 0 ? 1.0 : 2.5;
        each.steps = 3 + static_cast<std::int64_t>(index % 8);
        return each;
    };
    {
        RuntimeCore core("here", opener(1), {});
        for (std::size_t index = 0; index < 20; ++index) {
            alone.push_back(generate(core, prompts[index % prompts.size()], asked(index))->pixels);
        }
    }
    std::atomic<int> waiting = 1;
    RuntimeCore core("here",
                     opener(4,
                            [&](const std::string& what) {
                                // The first call waits until all are there.
                                while (what.rfind("call", 0) == 0 && waiting != 0) std::this_thread::yield();
                            }),
                     {std::optional<std::int64_t>(20), {}, {}, {}});
    std::vector<std::unique_ptr<Guest>> guests;
    for (std::size_t index = 0; index < 20; ++index) {
        guests.push_back(std::make_unique<Guest>());
        core.submit(prompts[index % prompts.size()], asked(index), guests.back()->listener());
    }
    waiting = 0;
    for (std::size_t index = 0; index < 20; ++index) CHECK(guests[index]->image()->pixels == alone[index]);
    std::uint64_t calls = 0;
    for (const auto& [name, expert] : core.status().experts) calls += expert.calls;
    std::uint64_t steps = 0;
    for (std::size_t index = 0; index < 20; ++index) steps += 3 + index % 8;
    CHECK(calls < steps);  // some were shared
}

TEST_CASE("steps are told where wanted, with previews and latents") {
    RuntimeCore core("here", opener(), {});
    Guest guest;
    RequestOptions options;
    options.every_step = options.latents = true;
    options.previews = 1;
    core.submit("fives", {}, guest.listener(), options);
    guest.image();
    REQUIRE(guest.events.size() == 8);  // queued, started, 5 steps, finished
    CHECK(std::get<Started>(guest.events[1]).choice.expert == "1");
    for (std::size_t done = 1; done <= 5; ++done) {
        const Step& step = std::get<Step>(guest.events[1 + done]);
        CHECK(step.done == done);
        CHECK(step.total == 5);
        CHECK(step.latents->size() == 4 * 8 * 8);
        CHECK(step.preview.has_value() == (done == 2));
    }
}

TEST_CASE("start latents replace the noise and give the size") {
    RuntimeCore core("here", opener(), {});
    std::vector<float> values(4 * 4 * 12, 0.25F);
    GenerationParams asked;
    asked.latents = StartLatents{{4, 4, 12}, values.data()};
    const auto image = generate(core, "fives", asked);
    CHECK(image->params.height == 8);
    CHECK(image->params.width == 24);
    CHECK_FALSE(image->params.seed);
    CHECK(image->blank);
    values[7] = std::numeric_limits<float>::infinity();
    CHECK_THROWS_WITH(core.submit("fives", asked, [](const Event&) {}), "latents: hold a value that is not finite");
    asked.latents->shape = {4, std::int64_t{1} << 62, 12};
    CHECK_THROWS_AS(core.submit("fives", asked, [](const Event&) {}), Failure);
}

TEST_CASE("an expert that fails three times in a row is left alone, and its prompts fall back") {
    std::atomic<int> calls = 0;
    RuntimeCore core("here",
                     opener(4,
                            [&](const std::string& what) {
                                if (what == "call 1") {
                                    ++calls;
                                    throw Failure(Status::engine, "broken");
                                }
                            }),
                     {});
    for (int count = 0; count < 3; ++count) {
        Guest guest;
        core.submit("fives", {}, guest.listener());
        CHECK(guest.failure().message == "broken");
    }
    CHECK(generate(core, "fives")->choice.expert == "dense");
    CHECK(core.status().experts.at("1").state == Presence::quarantined);
    Guest guest;
    core.submit("x", asking("1"), guest.listener());
    const Failed failed = guest.failure();
    CHECK(failed.status == Status::code_unavailable);
    CHECK(failed.message ==
          "expert '1' failed 3 times in a row and is left alone for 60 s; the log says why. Ask for "
          "another code, or again later");
    CHECK(calls == 3);
}

TEST_CASE("latents that are not finite fail, and nobody else") {
    RuntimeCore core("here", opener(), {});
    Guest guest;
    core.submit(std::string(fakes::TOO_LONG, 'x'), {}, guest.listener());
    const auto image = generate(core, "fives");
    CHECK(image->pixels.size() == 768);
    CHECK(guest.failure().message == "expert '0': the latents are not finite after the last step");
}

TEST_CASE("a version that nobody uses any more is let go; its requests end where they began") {
    std::vector<std::weak_ptr<Models>> versions;
    std::atomic<bool> held = true;
    const Opener open = [&](const std::string& path) -> std::shared_ptr<Models> {
        if (path == "bad") throw Failure(Status::manifest, "bad");
        auto models = std::make_shared<FakeModels>(4, [&](const std::string& what) {
            while (what == "call 1" && held) std::this_thread::yield();
        });
        versions.push_back(models);
        return models;
    };
    RuntimeCore core("first", open, {});
    Guest guest;
    core.submit("fives", {}, guest.listener());
    CHECK_THROWS_WITH(core.reload("bad"), "bad");
    core.reload("second");
    REQUIRE(versions.size() == 2);
    CHECK_FALSE(versions[0].expired());
    held = false;
    CHECK(guest.image()->choice.expert == "1");
    CHECK(generate(core, "fives")->choice.expert == "1");
    core.dispatcher().drain();
    core.dispatcher().evict([](Key) { return false; });
    for (int count = 0; count < 3000 && !versions[0].expired(); ++count) {
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    CHECK(versions[0].expired());
    CHECK_FALSE(versions[1].expired());
}

TEST_CASE("warming opens every expert, and tells of the first that does not work") {
    std::vector<std::string> opened;
    RuntimeCore core("here",
                     opener(4,
                            [&](const std::string& what) {
                                if (what.rfind("open ", 0) == 0) opened.push_back(what);
                            }),
                     {});
    core.warm();
    CHECK(opened == std::vector<std::string>{"open 0", "open decoder", "open 1", "open dense"});
    RuntimeCore broken("here",
                       opener(4,
                              [](const std::string& what) {
                                  if (what == "open 1") throw Failure(Status::integrity, "changed");
                              }),
                       {});
    CHECK_THROWS_WITH(broken.warm(), "changed");
}

TEST_CASE("limits are those that are asked, or room for a full call of every expert") {
    const FakeModels models(8);
    CHECK(limits(models, {}, {}).running == 24);
    CHECK(limits(models, {}, {}).queued == 96);
    CHECK(limits(models, 2, 0).queued == 0);
    CHECK_THROWS_WITH(limits(models, 0, {}), "max_running 0: give an integer of at least 1");
    CHECK_THROWS_WITH(limits(models, 1, -1), "max_queued -1: give an integer of at least 1");
}
