#include "made_up.hpp"

#include <atomic>
#include <memory>
#include <string>

#include "../../fakes/models.hpp"
#include "api/handles.hpp"

namespace made_up {

namespace {

static_assert(STEPS == fakes::STEPS);

std::atomic<int> open_versions = 0;

}  // namespace

aptp_status open(const char* path, const aptp_open_options* options, aptp_runtime** runtime) {
    return aptp::api::open(path, options, runtime, [](const std::string&, const aptp::ModelsOptions&) {
        auto* models = new fakes::FakeModels(4, [](const std::string& what) {
            if (what == "call dense") throw aptp::Failure(aptp::Status::engine, "broken");
        });
        ++open_versions;
        return std::shared_ptr<aptp::Models>(models, [](fakes::FakeModels* gone) {
            delete gone;
            --open_versions;
        });
    });
}

int versions() { return open_versions; }

}  // namespace made_up
