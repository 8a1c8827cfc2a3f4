// A program that uses ONNX Runtime itself, before the library (`first`) or after it (`last`): both go on.
//
//     neighbours BUNDLE CACHE GRAPH first|last
#include <onnxruntime_cxx_api.h>

#include <iostream>
#include <string>

#include "aptp.hpp"

namespace {

// The inputs of a graph, in a session of the program's own.
std::size_t own_session(const char* graph) {
    static Ort::Env environment(ORT_LOGGING_LEVEL_ERROR, "program");
    Ort::SessionOptions options;
    options.SetIntraOpNumThreads(3);
    Ort::Session session(environment, graph, options);
    return session.GetInputCount();
}

std::string draw(const char* bundle, const char* cache) {
    aptp::OpenOptions opening;
    opening.cache = cache;
    opening.engine = "cpu";
    aptp::Runtime runtime(bundle, opening);
    aptp::RequestOptions options;
    options.steps = 2;
    return std::to_string(runtime.generate("a red circle", options).width());
}

}  // namespace

int main(int count, char** arguments) {
    if (count != 5) return 2;
    const bool is_first = arguments[4] == std::string("first");
    if (is_first) std::cout << "inputs: " << own_session(arguments[3]) << "\n";
    std::cout << "width: " << draw(arguments[1], arguments[2]) << "\n";
    std::cout << "width: " << draw(arguments[1], arguments[2]) << "\n";
    if (!is_first) std::cout << "inputs: " << own_session(arguments[3]) << "\n";
}
