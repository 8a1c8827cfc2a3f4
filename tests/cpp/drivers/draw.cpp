// room: api
// draw BUNDLE CACHE BATCH FOLDER ENGINE [PRECISION]: a JSON array of requests on standard input,
// all submitted before any is waited for. Writes the pixels of the i-th to
// FOLDER/i.rgb and its PNG to FOLDER/i.png, and prints a line of JSON for each.
#include <aptp.h>

#include <cmath>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace {

using Json = nlohmann::json;

Json failed() { return {{"error", aptp_error()}}; }

std::vector<float> floats(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    const std::vector<char> bytes{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    std::vector<float> values(bytes.size() / sizeof(float));
    std::copy(bytes.begin(), bytes.end(), reinterpret_cast<char*>(values.data()));
    return values;
}

aptp_status submit(aptp_runtime* runtime, const Json& asked, aptp_request** request) {
    aptp_request_options options = APTP_REQUEST_OPTIONS_INIT;
    const std::string prompt = asked.at("prompt");
    const std::string negative = asked.value("negative_prompt", "");
    const std::string solver = asked.value("solver", "");
    const std::string code = asked.value("code", "");
    options.negative_prompt = negative.c_str();
    options.solver = solver.empty() ? nullptr : solver.c_str();
    options.code = code.empty() ? nullptr : code.c_str();
    options.seed = asked.value("seed", std::uint64_t{0});
    options.steps = asked.value("steps", APTP_DEFAULT);
    options.height = asked.value("height", APTP_DEFAULT);
    options.width = asked.value("width", APTP_DEFAULT);
    options.guidance = asked.value("guidance", APTP_UNSET);
    std::vector<float> latents;
    if (asked.contains("latents")) {
        latents = floats(asked["latents"]);
        options.latents = latents.data();
        options.latents_channels = asked["shape"][0];
        options.latents_height = asked["shape"][1];
        options.latents_width = asked["shape"][2];
    }
    return aptp_submit(runtime, prompt.c_str(), &options, request);
}

void write(const std::string& path, const std::uint8_t* bytes, std::size_t size) {
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes), static_cast<std::streamsize>(size));
}

Json number(double value) { return std::isnan(value) ? Json(nullptr) : Json(value); }

Json outcome(aptp_request* request, const std::string& path) {
    aptp_image image = APTP_IMAGE_INIT;
    const std::uint8_t* png = nullptr;
    std::size_t size = 0;
    if (aptp_wait(request, APTP_FOREVER) != APTP_OK || aptp_result(request, &image) != APTP_OK ||
        aptp_png(request, &png, &size) != APTP_OK) {
        Json told = failed();
        told["status"] = aptp_poll(request, nullptr);
        return told;
    }
    write(path + ".rgb", image.pixels, static_cast<std::size_t>(image.height * image.width * 3));
    write(path + ".png", png, size);
    return {{"status", 0},
            {"expert", image.expert},
            {"code", image.code},
            {"margin", number(image.margin)},
            {"fell_back", image.fell_back != 0},
            {"height", image.height},
            {"width", image.width}};
}

}  // namespace

int main(int count, char** arguments) {
    if (count != 6 && count != 7) return 2;
    aptp_open_options options = APTP_OPEN_OPTIONS_INIT;
    options.engine = arguments[5];
    options.precision = count == 7 ? arguments[6] : nullptr;
    options.cache = arguments[2];
    options.batch = std::stoll(arguments[3]);
    options.max_queued = 1000;
    aptp_runtime* runtime = nullptr;
    if (aptp_open(arguments[1], &options, &runtime) != APTP_OK) {
        std::cout << failed().dump() << "\n";
        return 1;
    }
    const Json asked = Json::parse(std::cin);
    std::vector<aptp_request*> requests(asked.size());
    std::vector<Json> told(asked.size());
    for (std::size_t index = 0; index < asked.size(); ++index) {
        const aptp_status status = submit(runtime, asked[index], &requests[index]);
        if (status != APTP_OK) {
            told[index] = failed();
            told[index]["status"] = status;
        }
    }
    for (std::size_t index = 0; index < asked.size(); ++index) {
        if (requests[index] != nullptr) {
            told[index] = outcome(requests[index], std::string(arguments[4]) + "/" + std::to_string(index));
        }
        std::cout << told[index].dump() << "\n";
        aptp_release(requests[index]);
    }
    aptp_close(runtime);
    return 0;
}
