// Forks after an image was made, and says how parent and child went on: the child ends as programs do, by exit.
//
//     forked BUNDLE CACHE ENGINE
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <iostream>
#include <optional>

#include "aptp.hpp"

namespace {

std::string outcome(aptp::Runtime& runtime) {
    try {
        aptp::RequestOptions options;
        options.steps = 2;
        runtime.generate("a red circle", options);
        return "image";
    } catch (const aptp::Error& error) {
        return aptp_status_name(error.status());
    }
}

}  // namespace

int main(int count, char** arguments) {
    if (count != 4) return 2;
    aptp::OpenOptions options;
    options.cache = arguments[2];
    options.engine = arguments[3];
    static std::optional<aptp::Runtime> runtime;  // destroyed when the process ends, in the child too
    runtime.emplace(arguments[1], options);
    const aptp::Request kept = runtime->submit("a blue square");
    std::cout << "parent: " << outcome(*runtime) << std::endl;
    const pid_t child = fork();
    if (child == 0) {
        alarm(60);
        std::cout << "child: " << outcome(*runtime) << std::endl;
        std::exit(0);
    }
    int ended = 0;
    waitpid(child, &ended, 0);
    std::cout << "child ended: " << (WIFEXITED(ended) ? WEXITSTATUS(ended) : -WTERMSIG(ended)) << std::endl;
    std::cout << "parent: " << outcome(*runtime) << std::endl;
    runtime.reset();  // ONNX Runtime goes before what was there before it
}
