#include "models/sessions.hpp"

#include "engines/compiled.hpp"
#include "errors.hpp"

namespace aptp {

namespace {

constexpr int ATTEMPTS = 2;

template <typename Check, typename Open, typename IsUnchanged>
auto unchanged(Check check, Open open, IsUnchanged is_unchanged) {
    std::filesystem::path path;
    for (int attempt = 0; attempt < ATTEMPTS; ++attempt) {
        path = check();
        auto opened = open(path);
        // Engines open files by name, after the check: this sees whatever was put there in between.
        if (is_unchanged()) return opened;
    }
    throw Failure(Status::integrity, path.string() + ": was changed while it was being opened, " +
                                         std::to_string(ATTEMPTS) + " times; stop what writes there, and try again");
}

}  // namespace

Sessions::Sessions(std::shared_ptr<const Bundle> bundle, const std::optional<std::string>& cache,
                   std::optional<std::int64_t> threads)
    : bundle_(std::move(bundle)), cache_(cache), threads_(threads) {}

std::unique_ptr<Session> Sessions::open(const ModelEntry& model, SessionSettings settings) {
    settings.threads = threads_;
    return unchanged([&] { return cache_.serving_graph(*bundle_, model); },
                     [&](const std::filesystem::path& path) { return std::make_unique<Session>(path, settings); },
                     [&] { return cache_.is_unchanged(*bundle_, model); });
}

std::unique_ptr<Engine> Sessions::open(const CompiledEntry& entry) {
    return unchanged([&] { return bundle_->files().file(entry.file); },
                     [&](const std::filesystem::path& path) { return open_compiled(path, entry, threads_); },
                     [&] { return bundle_->files().is_unchanged({entry.file}); });
}

}  // namespace aptp
