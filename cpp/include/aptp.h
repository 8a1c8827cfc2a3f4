/* aptp: images from prompts, out of a bundle (docs/BUNDLE.md). The C interface.
 *
 *     aptp_runtime *runtime;
 *     aptp_request *request;
 *     aptp_image image = APTP_IMAGE_INIT;
 *     if (aptp_open("bundle", NULL, &runtime) || aptp_submit(runtime, "a red circle", NULL, &request) ||
 *         aptp_wait(request, APTP_FOREVER) || aptp_result(request, &image))
 *         fprintf(stderr, "%s\n", aptp_error());
 *     ... image.pixels, image.width, image.height ...
 *     aptp_release(request);
 *     aptp_close(runtime);
 *
 * Versions. Every struct begins with its size, which its APTP_..._INIT sets. New members are only ever added at the
 * end, where 0 is what was before, so programs go on to work with a newer library. A library that is older than the
 * header leaves results that it does not know as they are, and refuses options that it does not know unless they are 0.
 *
 * Errors. Whatever can fail gives an aptp_status; for all but APTP_OK and APTP_PENDING `aptp_error()` says what, where
 * and what to do, to the thread that made the call. No exception leaves the library. Handles are numbers, not
 * addresses, and none comes twice: one that was closed or released is refused with APTP_USAGE_ERROR wherever it is used
 * again.
 *
 * Threads. Any thread may call anything at any time, unless said otherwise.
 *
 * Processes. A child that is forked after the first aptp_open has the handles and none of the threads: whatever it
 * calls fails with APTP_FORKED at once, but aptp_close and aptp_release, which do nothing there. Fork first, or
 * let the child start a program. What such a child registered for its exit before the first aptp_open is not run.
 *
 * Text is UTF-8 and ends with NUL. Sizes are in pixels, memory in bytes, times in seconds where no unit is said.
 */
#ifndef APTP_H
#define APTP_H

#include <stddef.h>
#include <stdint.h>

#define APTP_API __attribute__((visibility("default")))

#ifdef __cplusplus
extern "C" {
#endif

/* Raised when programs that were compiled against an older header would break; the library is libaptp.so.APTP_ABI. */
#define APTP_ABI 1

/* What became of a call, or of a request. Numbers never change; new ones may come. */
typedef enum aptp_status {
    APTP_PENDING = -1, /* no failure: the request has not ended */
    APTP_OK = 0,
    APTP_FAILURE = 1,              /* of the library itself, in a way nothing below describes: out of memory, a bug */
    APTP_USAGE_ERROR = 2,          /* a value the caller gave cannot be used */
    APTP_NOT_A_BUNDLE = 3,         /* there is no bundle at the path */
    APTP_MANIFEST_ERROR = 4,       /* the manifest breaks the format's rules */
    APTP_INTEGRITY_ERROR = 5,      /* a file is not the one the manifest lists */
    APTP_ENVIRONMENT_MISMATCH = 6, /* this machine lacks what was asked for */
    APTP_CODE_UNAVAILABLE = 7,     /* the bundle holds no expert for the code, or it is in quarantine */
    APTP_QUEUE_FULL = 8,           /* too many are waiting: try again in `aptp_retry_after()` seconds */
    APTP_DEADLINE_EXCEEDED = 9,    /* it was not done in time */
    APTP_CANCELLED = 10,           /* whoever asked took it back */
    APTP_CLOSED = 11,              /* the runtime is closing */
    APTP_CACHE_FAILURE = 12,       /* a derived file could not be written */
    APTP_OUTPUT_FAILURE = 13,      /* an image or a report could not be written */
    APTP_ENGINE_FAILURE = 14,      /* an engine did not load, did not run, or returned nonsense */
    APTP_UNAVAILABLE = 15,         /* a thread of the runtime did not start, died, or does not come back */
    APTP_FORKED = 16               /* what a process opened is used in a child that it forked afterwards */
} aptp_status;

/* The version of the library, such as "0.1.0", and its APTP_ABI. */
APTP_API const char* aptp_version(void);
APTP_API uint32_t aptp_abi(void);

/* The name of a status, such as "queue full". */
APTP_API const char* aptp_status_name(aptp_status status);

/* The message of this thread's latest failure. Valid until the thread's next call that fails; never NULL. */
APTP_API const char* aptp_error(void);

/* Seconds in which room is likely, after this thread's latest APTP_QUEUE_FULL. */
APTP_API double aptp_retry_after(void);

/* An opened bundle, and the threads that serve it. */
typedef struct aptp_runtime aptp_runtime;

/* One image on its way. */
typedef struct aptp_request aptp_request;

/* Values that stand for what the bundle says, or for what a member's comment says. */
#define APTP_DEFAULT INT64_MIN
#define APTP_UNSET (-1.7976931348623157e308)
#define APTP_FOREVER (1.7976931348623157e308)

typedef enum aptp_level { APTP_WARNING = 1, APTP_ERROR = 2 } aptp_level;

/* Hears of failures that the runtime survived, of an engine that `auto` has to do without, and, after "onnxruntime: ",
 * ONNX Runtime's warnings and errors. From any thread of the runtime, and from aptp_open. Must not throw, nor
 * call the runtime. */
typedef void (*aptp_on_log)(void* user, aptp_level level, const char* message);

typedef struct aptp_open_options {
    size_t size;
    /* What runs the UNet: "auto" (the best that can be had here), "cpu", "cuda", "tensorrt-ep", and where the library
     * was built with them "openvino", "aoti", "supernet", "tensorrt". NULL: "auto". */
    const char* engine;
    /* A folder for derived files, shared with the Python runtime. NULL: the same default as there. */
    const char* cache;
    /* The shared library of a provider plugin of ONNX Runtime, which "cuda" and "tensorrt-ep" may have. NULL: none. */
    const char* provider;
    /* How many requests may share a UNet call; APTP_DEFAULT: 8 for small experts, else 1. */
    int64_t batch;
    /* Bytes that the weights of open experts and decoders may hold together; APTP_DEFAULT: half of what this process
     * may use: the machine's, or less where a control group or a limit of the process says so. */
    int64_t memory;
    /* Threads of one call, 1 to 4096; APTP_DEFAULT: one for each core that this process may use, within the quota of
     * its control groups. Runtimes with the number of the first share its threads; others have more. */
    int64_t threads;
    /* Requests under way at once; APTP_DEFAULT: a full call of every expert. */
    int64_t max_running;
    /* Requests that wait; what comes beyond is refused. APTP_DEFAULT: four times those under way. */
    int64_t max_queued;
    /* Not 0: make an image of a step or so on every expert before opening returns. */
    int32_t warm;
    aptp_on_log on_log; /* NULL: ONNX Runtime's errors go to standard error, and nobody hears of the rest */
    void* user;         /* given to on_log */
    /* What the UNet is computed in: "float32", "bfloat16", "int8", or NULL for the least that every expert has earned
     * here, expert by expert. */
    const char* precision;
    int64_t device; /* which GPU "cuda" and "tensorrt-ep" run on, from 0 */
    /* Not 0: trust the group that may write in the cache's folder. Other users may never write there. */
    int32_t cache_group_writable;
} aptp_open_options;

#define APTP_OPEN_OPTIONS_INIT                                                                               \
    {                                                                                                        \
        sizeof(aptp_open_options), NULL, NULL, NULL, APTP_DEFAULT, APTP_DEFAULT, APTP_DEFAULT, APTP_DEFAULT, \
            APTP_DEFAULT, 0, NULL, NULL, NULL, 0, 0                                                          \
    }

/* Open the bundle at `path`; NULL options are defaults. Takes seconds.
 * Fails with APTP_USAGE_ERROR, APTP_NOT_A_BUNDLE, APTP_MANIFEST_ERROR, APTP_INTEGRITY_ERROR,
 * APTP_ENVIRONMENT_MISMATCH, APTP_CACHE_FAILURE, APTP_ENGINE_FAILURE; `*runtime` is NULL then. */
APTP_API aptp_status aptp_open(const char* path, const aptp_open_options* options, aptp_runtime** runtime);

/* End what is under way with APTP_CLOSED, join every thread, let go of the engines, and free the handle. A call under
 * way is waited for, unless it is stuck: its thread keeps what it works with until the process ends. Requests may be
 * released before or after. NULL is fine. Not from a callback: that would wait for itself, so it fails with
 * APTP_USAGE_ERROR and closes nothing. */
APTP_API aptp_status aptp_close(aptp_runtime* runtime);

/* Let nothing more in, and wait until all is done. After `seconds` (APTP_FOREVER: no limit) what is left ends with
 * APTP_CLOSED, and this gives APTP_DEADLINE_EXCEEDED. Not from a callback. */
APTP_API aptp_status aptp_drain(aptp_runtime* runtime, double seconds);

/* Serve new requests from the bundle that is at `path` now (NULL: where the last one was). Requests under way end where
 * they began. Fails as aptp_open does, and serves on from the old one then. */
APTP_API aptp_status aptp_reload(aptp_runtime* runtime, const char* path);

/* Close the engines that are not in use. They open again when they are needed. */
APTP_API aptp_status aptp_free_engines(aptp_runtime* runtime);

typedef enum aptp_event_kind {
    APTP_EVENT_QUEUED = 1,  /* let in: `ahead` of it are requests that have not started */
    APTP_EVENT_STARTED = 2, /* its prompt is encoded and routed: `expert` makes it */
    APTP_EVENT_STEP = 3,    /* `done` of `total` rows of its schedule are walked, the last one at `timestep` */
    APTP_EVENT_ENDED = 4    /* `status` says how; nothing follows */
} aptp_event_kind;

/* What a request tells on its way. Valid during the callback. Members of other kinds are 0. */
typedef struct aptp_event {
    size_t size;
    aptp_event_kind kind;
    int64_t ahead;
    const char* expert;
    int64_t done, total;
    double timestep;
    /* Where asked for: what the image will be, RGB, [height, width, 3], one pixel for each latent. */
    const uint8_t* preview;
    int64_t preview_height, preview_width;
    /* Where asked for: the latents now, [channels, height, width]. */
    const float* latents;
    int64_t latents_channels, latents_height, latents_width;
    aptp_status status;
    const char* message; /* of a failure, else "" */
    aptp_request* request;
} aptp_event;

/* Hears of a request, from threads of the runtime and of those who submit and cancel, never from two at once for one
 * request, in order, and no lock is held; of the end exactly once, whatever becomes of the request and its handle: what
 * `user` points to can go then. It holds up the runtime while it runs, so it should do little. It may call whatever
 * does not wait: not aptp_wait (unless that request has ended), aptp_drain and aptp_close. Where it cancels or releases
 * its own request, it hears of the end after it has returned. The first event, QUEUED, comes inside aptp_submit, which
 * has set `*request` by then; others may come before it returns. It must not throw: where it does, its request is taken
 * back and the log hears of that. */
typedef void (*aptp_on_event)(void* user, const aptp_event* event);

/* Telling takes the cores from calls: ask for what is needed. */
#define APTP_WANT_STEPS 1U   /* an event for each step; `previews` ask for that too */
#define APTP_WANT_LATENTS 2U /* an event for each step, with the latents */

typedef struct aptp_request_options {
    size_t size;
    const char* negative_prompt; /* NULL: "" */
    const char* solver;          /* NULL: the bundle's */
    const char* code;            /* "0" to codes - 1, or "dense": overrides the router. NULL: the prompt is routed */
    uint64_t seed;               /* of the start noise */
    int64_t steps;               /* APTP_DEFAULT: the bundle's */
    int64_t height, width;       /* pixels; APTP_DEFAULT: the bundle's, or those of `latents` */
    double guidance;             /* 0 to 1000, 1 or less switches it off; APTP_UNSET: the bundle's */
    /* Start latents [channels, height, width], copied; they replace the noise of `seed`. NULL: noise. */
    const float* latents;
    int64_t latents_channels, latents_height, latents_width;
    int32_t priority; /* -1, 0 or 1: one step is worth having come ten seconds earlier */
    uint32_t wants;   /* APTP_WANT_...: what on_event hears besides */
    double deadline;  /* seconds from now, waiting included; APTP_UNSET: none */
    int64_t previews; /* how many of the steps show what the image will be, evenly spaced, never the last */
    aptp_on_event on_event;
    void* user; /* given to on_event */
} aptp_request_options;

#define APTP_REQUEST_OPTIONS_INIT                                                                                      \
    {                                                                                                                  \
        sizeof(aptp_request_options), NULL, NULL, NULL, 0, APTP_DEFAULT, APTP_DEFAULT, APTP_DEFAULT, APTP_UNSET, NULL, \
            0, 0, 0, 0, 0, APTP_UNSET, 0, NULL, NULL                                                                   \
    }

/* Let a request in, or refuse it, at once; NULL options are defaults. Nothing of what is passed is kept.
 * Fails with APTP_USAGE_ERROR, APTP_QUEUE_FULL, APTP_CLOSED, APTP_UNAVAILABLE, APTP_CODE_UNAVAILABLE,
 * APTP_MANIFEST_ERROR, APTP_INTEGRITY_ERROR; `*request` is NULL then. */
APTP_API aptp_status aptp_submit(aptp_runtime* runtime, const char* prompt, const aptp_request_options* options,
                                 aptp_request** request);

/* Let `count` requests in, at least one, or none of them: as aptp_submit for prompts[i] and options[i], NULL being
 * defaults, for one and for all. Their first events come when all are let in. All of `requests` are NULL where it
 * fails. */
APTP_API aptp_status aptp_submit_all(aptp_runtime* runtime, size_t count, const char* const* prompts,
                                     const aptp_request_options* const* options, aptp_request** requests);

/* How far a request is. */
typedef struct aptp_progress {
    size_t size;
    int32_t started;     /* not 0: its prompt is encoded and routed */
    int64_t done, total; /* rows of its schedule; total is known once aptp_submit has returned */
} aptp_progress;

#define APTP_PROGRESS_INIT \
    { sizeof(aptp_progress), 0, 0, 0 }

/* APTP_PENDING, or how the request ended: APTP_OK with an image, else its failure. `progress` may be NULL. */
APTP_API aptp_status aptp_poll(const aptp_request* request, aptp_progress* progress);

/* Wait until the request has ended and its callback has returned from that, at most so many seconds (APTP_FOREVER: no
 * limit); then as aptp_poll, which tells of the end a moment earlier. Not from a callback: that would wait for itself,
 * so it fails with APTP_USAGE_ERROR where the request has not ended. */
APTP_API aptp_status aptp_wait(aptp_request* request, double seconds);

/* Take a request back: it ends with APTP_CANCELLED, unless it has ended already. Does not wait; this thread tells the
 * callback of the end, unless another is in it. */
APTP_API aptp_status aptp_cancel(aptp_request* request);

/* Free the handle, and all that aptp_result gave. A request that has not ended is cancelled; its callback has heard of
 * the end when this returns, and is not called again. It waits for that, so hold no lock that callbacks take. In a
 * callback it does not wait: what is released there may hear of its end later. NULL is fine. */
APTP_API void aptp_release(aptp_request* request);

/* An image, and how it came to be. Pointers are valid until the request is released. */
typedef struct aptp_image {
    size_t size;
    const uint8_t* pixels; /* RGB, [height, width, 3], without gaps */
    int64_t height, width;
    int32_t blank;               /* not 0: it shows nothing, which is what broken engines most often return */
    const char* expert;          /* who made it: "0", "1", ... or "dense" */
    int64_t code;                /* the router's, or the one asked for; -1: dense */
    int32_t routed;              /* not 0: the router was asked, and margin is its answer */
    int32_t fell_back;           /* not 0: the bundle lacks the expert that should have */
    int32_t out_of_distribution; /* not 0: too far from the training's prompts to be left to its code */
    double margin;               /* NaN where there is none */
    double distance;             /* from the training's prompts; NaN where not known */
    const char* solver;          /* the settings, defaults filled in */
    int64_t steps;
    double guidance;
    int32_t seeded; /* 0: it started from the caller's latents, and seed tells nothing */
    uint64_t seed;
    int64_t dropped_tokens;          /* of the prompt, those that did not fit */
    int64_t negative_dropped_tokens; /* of the negative prompt; 0 without guidance */
    double milliseconds;             /* its share of the work, without opening engines */
} aptp_image;

#define APTP_IMAGE_INIT \
    { sizeof(aptp_image), NULL, 0, 0, 0, NULL, 0, 0, 0, 0, 0.0, 0.0, NULL, 0, 0.0, 0, 0, 0, 0, 0.0 }

/* The image of a request that has ended with one; else as aptp_poll. */
APTP_API aptp_status aptp_result(const aptp_request* request, aptp_image* image);

/* All settings of the image and how it came to be, as a JSON object in ASCII: what its PNG carries. Valid until the
 * request is released. Else as aptp_result. */
APTP_API aptp_status aptp_describe(aptp_request* request, const char** json);

/* The image as a PNG file, encoded when it is first asked for; valid until the request is released. Else as
 * aptp_result, and APTP_OUTPUT_FAILURE. */
APTP_API aptp_status aptp_png(aptp_request* request, const uint8_t** bytes, size_t* size);

/* Which code a prompt goes to. */
typedef struct aptp_route {
    size_t size;
    int64_t code;
    double margin;   /* by how much its similarity beats that of every other; NaN where there is no other */
    double distance; /* from the training's prompts (about 1: like them); NaN where the bundle cannot tell */
} aptp_route;

#define APTP_ROUTE_INIT \
    { sizeof(aptp_route), 0, 0.0, 0.0 }

/* Route a prompt, in the calling thread. Fails with APTP_USAGE_ERROR, APTP_ENGINE_FAILURE. */
APTP_API aptp_status aptp_route_prompt(aptp_runtime* runtime, const char* prompt, aptp_route* route);

/* What the bundle offers that new requests are served from. Texts are valid until the runtime is closed. */
typedef struct aptp_bundle_info {
    size_t size;
    const char* engine; /* what runs its UNets */
    int64_t batch;      /* how many requests may share a call */
    int64_t codes;      /* of the router */
    int64_t experts;    /* how many it holds: see aptp_expert */
    const char* solver; /* defaults */
    int64_t steps;
    double guidance;
    int64_t height, width;    /* pixels, by default */
    int64_t multiple;         /* both sides are multiples of this, */
    int64_t minimum, maximum; /* between these */
    int64_t latents_channels; /* of start latents, */
    int64_t latents_scale;    /* whose sides are those of the image divided by this */
    int64_t engines, solvers; /* how many there are: see aptp_engine and aptp_solver */
} aptp_bundle_info;

#define APTP_BUNDLE_INFO_INIT \
    { sizeof(aptp_bundle_info), NULL, 0, 0, 0, NULL, 0, 0.0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }

APTP_API aptp_status aptp_info(aptp_runtime* runtime, aptp_bundle_info* info);

/* An engine by its name in aptp_open_options. Texts are valid until the runtime is closed. */
typedef struct aptp_engine_info {
    size_t size;
    const char* name;
    const char* missing; /* why it cannot serve this bundle here; NULL: it can */
} aptp_engine_info;

#define APTP_ENGINE_INFO_INIT \
    { sizeof(aptp_engine_info), NULL, NULL }

/* The engine number `index`, below `engines` of aptp_info. May look for devices. */
APTP_API aptp_status aptp_engine(aptp_runtime* runtime, int64_t index, aptp_engine_info* engine);

/* A solver of the bundle, and the numbers of steps that it offers, ascending. Valid until the runtime is closed. */
typedef struct aptp_solver_info {
    size_t size;
    const char* name;
    const int64_t* steps;
    int64_t count; /* of `steps` */
} aptp_solver_info;

#define APTP_SOLVER_INFO_INIT \
    { sizeof(aptp_solver_info), NULL, NULL, 0 }

/* The solver number `index`, below `solvers` of aptp_info, by name in order. */
APTP_API aptp_status aptp_solver(aptp_runtime* runtime, int64_t index, aptp_solver_info* solver);

/* How a runtime is doing. `admitted` is queued + running + those that ended, each in one way. */
typedef struct aptp_runtime_status {
    size_t size;
    int64_t queued, running;
    int64_t max_queued, max_running;
    int32_t draining;
    uint64_t admitted, finished, failed, cancelled, expired, rejected;
    uint64_t memory_used, memory_budget; /* bytes, of the engines' weights */
    int64_t last_call;                   /* how many requests shared the latest UNet call; 0: there was none */
    /* Why nobody is let in now, and requests end with APTP_UNAVAILABLE: the system gave the runtime no thread, until it
     * does; a thread died, for good; or one is stuck, until it comes back. Valid until this thread's next
     * aptp_get_status. NULL: the runtime serves. */
    const char* trouble;
} aptp_runtime_status;

#define APTP_RUNTIME_STATUS_INIT \
    { sizeof(aptp_runtime_status), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, NULL }

APTP_API aptp_status aptp_get_status(aptp_runtime* runtime, aptp_runtime_status* status);

typedef enum aptp_expert_state {
    APTP_EXPERT_ABSENT = 0, /* its engine opens when it is needed */
    APTP_EXPERT_OPENING = 1,
    APTP_EXPERT_RESIDENT = 2,
    APTP_EXPERT_QUARANTINED = 3 /* it failed several times in a row, and is left alone for a while */
} aptp_expert_state;

/* One expert: its engine, the requests it runs now, and its work so far. */
typedef struct aptp_expert_status {
    size_t size;
    const char* name; /* valid until the runtime is closed */
    aptp_expert_state state;
    int64_t running;
    uint64_t images, calls, rows;
    double seconds; /* in UNet calls */
} aptp_expert_status;

#define APTP_EXPERT_STATUS_INIT \
    { sizeof(aptp_expert_status), NULL, APTP_EXPERT_ABSENT, 0, 0, 0, 0, 0.0 }

/* The expert number `index`, below `experts` of aptp_info, by name in order. */
APTP_API aptp_status aptp_expert(aptp_runtime* runtime, int64_t index, aptp_expert_status* status);

#ifdef __cplusplus
}
#endif

#endif
