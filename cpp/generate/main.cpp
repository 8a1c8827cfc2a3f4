// aptp-generate: prompts to PNG files, a table, and progress where someone watches.
#include <aptp.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <deque>
#include <memory>

#include "generate/album.hpp"
#include "generate/options.hpp"

namespace aptp::generate {

namespace {

constexpr double LOOK = 0.1;  // seconds between two looks at progress and signals

volatile std::sig_atomic_t interrupted = 0;

struct Close {
    void operator()(aptp_runtime* runtime) const { aptp_close(runtime); }
    void operator()(aptp_request* request) const { aptp_release(request); }
};
using Runtime = std::unique_ptr<aptp_runtime, Close>;
using Request = std::unique_ptr<aptp_request, Close>;

int exit_code(aptp_status status) {
    switch (status) {
        case APTP_USAGE_ERROR:
            return USAGE;
        case APTP_NOT_A_BUNDLE:
        case APTP_MANIFEST_ERROR:
        case APTP_INTEGRITY_ERROR:
        case APTP_ENVIRONMENT_MISMATCH:
        case APTP_FORKED:
            return REFUSED;
        default:
            return FAILED;
    }
}

Runtime open(const Options& options) {
    aptp_runtime* runtime = nullptr;
    const aptp_status status = aptp_open(options.bundle.c_str(), &options.open, &runtime);
    if (status != APTP_OK) throw Refusal(exit_code(status), aptp_error());
    return Runtime(runtime);
}

// Requests under way, oldest first, each with the place of its prompt.
class Line {
public:
    Line(const Options& options, aptp_runtime* runtime, Album& album)
        : options_(options), runtime_(runtime), album_(album), shows_(isatty(STDERR_FILENO) != 0) {}

    // Make every image; an interrupt leaves the rest.
    void run() {
        for (std::size_t next = 0; next < options_.prompts.size() && interrupted == 0;) {
            const aptp_status status = submit(next);
            if (status == APTP_QUEUE_FULL && !waiting_.empty()) {
                finish_oldest();
                continue;
            }
            if (status != APTP_OK) album_.fail(next, exit_code(status), aptp_error());
            ++next;
        }
        while (!waiting_.empty() && interrupted == 0) finish_oldest();
        if (shows_) std::fprintf(stderr, "\r\033[K");
    }

private:
    aptp_status submit(std::size_t index) {
        aptp_request_options asked = options_.request;
        asked.seed += index;
        aptp_request* request = nullptr;
        const aptp_status status = aptp_submit(runtime_, options_.prompts[index].c_str(), &asked, &request);
        if (status == APTP_OK) waiting_.emplace_back(index, Request(request));
        return status;
    }

    void finish_oldest() {
        auto& [index, request] = waiting_.front();
        aptp_status status = APTP_PENDING;
        while (interrupted == 0 && (status = aptp_wait(request.get(), LOOK)) == APTP_PENDING) show();
        if (status == APTP_PENDING) return;
        if (status == APTP_OK) {
            aptp_progress progress = APTP_PROGRESS_INIT;
            aptp_poll(request.get(), &progress);
            done_ += progress.total;
            rows_ = progress.total;
            album_.add(index, request.get());
        } else {
            album_.fail(index, exit_code(status), aptp_error());
        }
        waiting_.pop_front();
    }

    void show() {
        if (!shows_) return;
        long long done = done_;
        for (const auto& [index, request] : waiting_) {
            aptp_progress progress = APTP_PROGRESS_INIT;
            aptp_poll(request.get(), &progress);
            done += progress.done;
            rows_ = progress.total;
        }
        const long long total = rows_ * static_cast<long long>(options_.prompts.size());
        std::fprintf(stderr, "\r\033[Ksteps %lld/%lld", done, total);
    }

    const Options& options_;
    aptp_runtime* runtime_;
    Album& album_;
    bool shows_;
    long long done_ = 0;
    long long rows_ = 0;
    std::deque<std::pair<std::size_t, Request>> waiting_;
};

int run(const Options& options) {
    Album album(options);
    {
        const Runtime runtime = open(options);
        album.make_folder();
        // A second interrupt ends the process as ever.
        struct sigaction on_interrupt{};
        on_interrupt.sa_handler = [](int) { interrupted = 1; };
        on_interrupt.sa_flags = static_cast<int>(SA_RESETHAND);
        sigaction(SIGINT, &on_interrupt, nullptr);
        Line(options, runtime.get(), album).run();
    }
    if (!album.empty()) {
        if (options.json) album.print_json();
        album.print_table();
    }
    if (interrupted != 0) throw Refusal(INTERRUPTED, "interrupted");
    return album.exit_code();
}

int main(int count, char** arguments) {
    try {
        const Options options = parse({arguments + 1, arguments + count});
        if (!options.told.empty()) {
            std::printf("%s", options.told.c_str());
            return 0;
        }
        return run(options);
    } catch (const Refusal& refusal) {
        std::fprintf(stderr, "%s%s\n", refusal.code() == INTERRUPTED ? "" : "error: ", refusal.what());
        return refusal.code();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "error: %s\n", error.what());
        return FAILED;
    }
}

}  // namespace

}  // namespace aptp::generate

int main(int count, char** arguments) { return aptp::generate::main(count, arguments); }
