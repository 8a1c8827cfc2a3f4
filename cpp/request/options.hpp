// How a request is served, whatever is drawn.
#pragma once

#include <aptp.h>

#include <cstdint>
#include <optional>

namespace aptp {

// Higher `priority` goes first; all of it, waiting included, takes at most `deadline` seconds. With `every_step` the
// request tells of each of its steps; `previews` of them show the image, and all have the `latents` where wanted.
// Telling takes the cores from calls: nobody is told who does not ask.
struct RequestOptions {
    std::int64_t priority = 0;
    std::optional<double> deadline;
    bool every_step = false;
    std::int64_t previews = 0;
    bool latents = false;

    // What a caller in C asks. Throws Failure (usage) for `wants` that are not known.
    static RequestOptions of(const aptp_request_options& asked);

    // Whether the request tells of its steps: whoever asks for what steps bring asks for them.
    bool tells_steps() const noexcept { return every_step || previews > 0 || latents; }

    // Refuse what cannot be. Throws Failure (usage).
    void check() const;
};

}  // namespace aptp
