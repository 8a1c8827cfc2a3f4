#include "engines/graph.hpp"

#include <algorithm>

namespace aptp {

namespace {

std::string listed(const std::vector<std::string>& names) {
    std::string text;
    for (const std::string& name : names) text += (text.empty() ? "'" : ", '") + name + "'";
    return "[" + text + "]";
}

std::vector<std::string> sorted(std::vector<std::string> names) {
    std::sort(names.begin(), names.end());
    return names;
}

}  // namespace

void Graph::require(std::vector<std::string> inputs, const std::string& output) const {
    const std::vector<std::string> taken = sorted(inputs_), gives = sorted(outputs_),
                                   wanted = sorted(std::move(inputs));
    if (taken != wanted || std::find(gives.begin(), gives.end(), output) == gives.end()) {
        throw Failure(Status::engine, path_ + ": takes " + listed(taken) + " and gives " + listed(gives) +
                                          ", and the manifest says " + listed(wanted) + " and '" + output +
                                          "'; build the bundle again");
    }
}

Failure Graph::failed(const std::exception& error) const {
    return {Status::engine, path_ + ": failed while running: " + error.what()};
}

}  // namespace aptp
