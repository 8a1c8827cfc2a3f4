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

Sessions::Sessions(std::shared_ptr<const Bundle> bundle, CacheOptions cache, std::optional<std::int64_t> threads,
                   const Log& log)
    : bundle_(std::move(bundle)),
      cache_(std::move(cache)),
      threads_(threads),
      log_(log ? std::make_shared<const Log>(log) : nullptr) {}

template <typename Open>
auto Sessions::checked(const ModelEntry& model, Open open) {
    return unchanged([&] { return cache_.serving_graph(*bundle_, model); }, open,
                     [&] { return cache_.is_unchanged(*bundle_, model); });
}

std::unique_ptr<Session> Sessions::open(const ModelEntry& model) {
    SessionSettings settings;
    settings.threads = threads_;
    settings.log = log_;
    return checked(model, [&](const std::filesystem::path& path) { return std::make_unique<Session>(path, settings); });
}

std::unique_ptr<Graph> Sessions::open_graph(const ModelEntry& model, GraphSettings settings) {
    settings.threads = threads_;
    settings.log = log_;
    return checked(model, [&](const std::filesystem::path& path) { return aptp::open_graph(path, settings); });
}

std::unique_ptr<Engine> Sessions::open_unet(const ModelEntry& model, GraphSettings settings,
                                            const std::vector<std::string>& inputs) {
    settings.threads = threads_;
    settings.log = log_;
    return checked(model, [&](const std::filesystem::path& path) { return aptp::open_unet(path, settings, inputs); });
}

std::unique_ptr<Engine> Sessions::open(const CompiledEntry& entry) {
    return unchanged([&] { return bundle_->files().file(entry.file); },
                     [&](const std::filesystem::path& path) { return open_compiled(path, entry, threads_); },
                     [&] { return bundle_->files().is_unchanged({entry.file}); });
}

}  // namespace aptp
