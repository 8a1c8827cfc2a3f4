// room: bundle
// Whatever the bytes, there is a manifest or a refusal, and nothing that the bytes say makes the reader slow or large.
#include <cstdint>
#include <cstdlib>

#include "bundle/manifest.hpp"
#include "errors.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    try {
        const aptp::Manifest manifest =
            aptp::parse_manifest(std::string_view(reinterpret_cast<const char*>(data), size));
        // What was let through has to hold what its users rely on.
        if (manifest.experts.empty() || manifest.latent.multiple < 1) std::abort();
        manifest.encoder(manifest.router.encoder);
        for (const auto& [name, expert] : manifest.experts) {
            if (manifest.share(name) < 0) std::abort();
            if (expert.gates && static_cast<std::int64_t>(expert.gates->kept().size()) != expert.gates->count) {
                std::abort();
            }
        }
    } catch (const aptp::Failure& failure) {
        if (failure.status() != aptp::Status::manifest) std::abort();
    }
    return 0;
}
