// A minimal HTTP service: image-service BUNDLE [PORT], on this machine only.
//
//     curl -o image.png --get http://127.0.0.1:8080/image --data-urlencode "prompt=a red circle" -d seed=7
//     curl http://127.0.0.1:8080/status
//
// Requests that come together share the calls of their expert. What is too many is refused at once, with 429. A request
// whose client has left is taken back.
#include <dirent.h>
#include <httplib.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <aptp.hpp>
#include <csignal>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>

namespace {

constexpr double DEADLINE = 60;      // seconds, waiting included
constexpr double LOOK = 0.1;         // seconds between two looks at whether a client is still there
constexpr std::size_t CLIENTS = 64;  // that are answered at once; each waits in a thread

int http_status(aptp_status status) {
    switch (status) {
        case APTP_USAGE_ERROR:
            return 400;
        case APTP_CODE_UNAVAILABLE:
            return 404;
        case APTP_QUEUE_FULL:
            return 429;
        case APTP_CANCELLED:
            return 499;  // nobody reads it
        case APTP_CLOSED:
            return 503;
        case APTP_DEADLINE_EXCEEDED:
            return 504;
        default:
            return 500;
    }
}

// A whole number from the query. Throws Error, as for any other value that cannot be used.
std::uint64_t number(const httplib::Request& request, const std::string& name) {
    const std::string text = request.get_param_value(name);
    if (text.empty() || text.size() > 18 || text.find_first_not_of("0123456789") != std::string::npos) {
        throw aptp::Error(APTP_USAGE_ERROR, name + ": give an integer");
    }
    return std::stoull(text);
}

aptp::RequestOptions options_of(const httplib::Request& request) {
    aptp::RequestOptions options;
    options.deadline = DEADLINE;
    options.negative_prompt = request.get_param_value("negative_prompt");
    if (request.has_param("seed")) options.seed = number(request, "seed");
    if (request.has_param("steps")) options.steps = static_cast<std::int64_t>(number(request, "steps"));
    if (request.has_param("code")) options.code = request.get_param_value("code");
    return options;
}

// The socket of a request, which httplib does not tell: the one whose other end is the port that the request came from.
// -1 where there is none.
int socket_of(const httplib::Request& request) {
    const std::unique_ptr<DIR, int (*)(DIR*)> folder(opendir("/proc/self/fd"), closedir);
    for (const dirent* entry = nullptr; folder && (entry = readdir(folder.get())) != nullptr;) {
        const int number = std::atoi(entry->d_name);
        sockaddr_in other{};
        socklen_t size = sizeof other;
        if (getpeername(number, reinterpret_cast<sockaddr*>(&other), &size) == 0 && other.sin_family == AF_INET &&
            ntohs(other.sin_port) == request.remote_port) {
            return number;
        }
    }
    return -1;
}

bool has_left(int client) {
    pollfd state{client, POLLRDHUP, 0};
    return client >= 0 && poll(&state, 1, 0) > 0;
}

// The image, unless the client leaves before it is done. Throws Error.
aptp::Image drawn(aptp::Runtime& runtime, const httplib::Request& request) {
    const int client = socket_of(request);
    const aptp::Request asked = runtime.submit(request.get_param_value("prompt"), options_of(request));
    while (!asked.wait(LOOK)) {
        if (has_left(client)) asked.cancel();
    }
    return asked.image();
}

void draw(aptp::Runtime& runtime, const httplib::Request& request, httplib::Response& response) {
    try {
        if (!request.has_param("prompt")) throw aptp::Error(APTP_USAGE_ERROR, "prompt: is missing");
        const aptp::Image image = drawn(runtime, request);
        const std::vector<std::uint8_t> png = image.png();
        response.set_header("X-Expert", image->expert);
        response.set_content(reinterpret_cast<const char*>(png.data()), png.size(), "image/png");
    } catch (const aptp::Error& error) {
        response.status = http_status(error.status());
        if (error.status() == APTP_QUEUE_FULL) {
            response.set_header("Retry-After", std::to_string(1 + static_cast<int>(error.retry_after())));
        }
        response.set_content(std::string(error.what()) + "\n", "text/plain; charset=utf-8");
    }
}

void tell(aptp::Runtime& runtime, httplib::Response& response) {
    const aptp_runtime_status status = runtime.status();
    response.set_content(
        "{\"queued\": " + std::to_string(status.queued) + ", \"running\": " + std::to_string(status.running) +
            ", \"finished\": " + std::to_string(status.finished) + ", \"failed\": " + std::to_string(status.failed) +
            ", \"cancelled\": " + std::to_string(status.cancelled) + "}\n",
        "application/json");
}

int serve(const std::string& bundle, int port) {
    // Signals are taken by this thread alone, which waits for them: a handler may do next to nothing. Threads that the
    // runtime starts inherit that.
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    aptp::Runtime runtime(bundle);
    httplib::Server server;
    server.new_task_queue = [] { return new httplib::ThreadPool(CLIENTS); };
    server.Get("/image",
               [&](const httplib::Request& request, httplib::Response& response) { draw(runtime, request, response); });
    server.Get("/status", [&](const httplib::Request&, httplib::Response& response) { tell(runtime, response); });

    if (!server.bind_to_port("127.0.0.1", port)) {
        std::cerr << "port " << port << " cannot be had\n";
        return 1;
    }
    std::thread listener([&] { server.listen_after_bind(); });
    std::cout << "http://127.0.0.1:" << port << std::endl;
    int signal = 0;
    sigwait(&signals, &signal);
    runtime.drain(DEADLINE);  // what was let in is finished
    server.stop();
    listener.join();
    return 0;
}

}  // namespace

int main(int count, char** arguments) try {
    if (count < 2 || count > 3) {
        std::cerr << "usage: image-service BUNDLE [PORT]\n";
        return 2;
    }
    return serve(arguments[1], count > 2 ? std::atoi(arguments[2]) : 8080);
} catch (const aptp::Error& error) {
    std::cerr << error.what() << "\n";
    return 1;
}
