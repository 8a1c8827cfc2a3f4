#include "engines/aoti.hpp"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/inductor/aoti_package/model_package_loader.h>

#include <cstring>
#include <exception>
#include <nlohmann/json.hpp>
#include <vector>

#include "errors.hpp"
#include "machine/threads.hpp"

namespace aptp::aoti {

namespace {

using Loader = torch::inductor::AOTIModelPackageLoader;

// The names of a package's inputs in the order in which it takes them: its call specification is a pair of positional
// arguments, of which there are none, and named ones, whose names are the `context`.
std::vector<std::string> input_names(Loader& loader) {
    const std::vector<std::string> specification = loader.get_call_spec();
    const auto tree = nlohmann::json::parse(specification.at(0));
    const auto& named = tree.at(1).at("children_spec").at(1);
    const auto& context = named.at("context");
    const auto names = context.is_string() ? nlohmann::json::parse(context.get<std::string>()) : context;
    return names.get<std::vector<std::string>>();
}

// A view of memory that a call reads, and does not write.
at::Tensor view(const float* values, const Shape& shape) {
    return at::from_blob(const_cast<float*>(values), shape, at::kFloat);
}

class PackageEngine : public Engine {
public:
    PackageEngine(const std::filesystem::path& path, const std::string& device)
        : path_(path.string()),
          device_(device),
          loader_(path_, "model", /*run_single_threaded=*/true),
          names_(input_names(loader_)) {}

    void run(const EngineCall& call) override {
        try {
            const at::InferenceMode inference;
            condition(call.conditioning);
            const Shape shape{call.rows, call.channels, call.height, call.width};
            std::vector<at::Tensor> inputs;
            for (const std::string& name : names_) {
                inputs.push_back(input(name, call, shape));
            }
            take(loader_.run(inputs), shape, call.output);
        } catch (const Failure&) {
            throw;
        } catch (const std::exception& error) {  // c10::Error is one, and whatever else a package throws
            kept_ = nullptr;
            throw Failure(Status::engine, path_ + ": failed while running: " + error.what());
        }
    }

private:
    // Bring the conditioning over, once for as long as it is the same.
    void condition(const std::shared_ptr<const Conditioning>& conditioning) {
        if (kept_ == conditioning && kept_ != nullptr) return;
        kept_ = nullptr;
        context_.clear();
        for (const auto& [name, tensor] : *conditioning) {
            context_[name] = view(tensor->values.data(), tensor->shape).to(device_);
        }
        kept_ = conditioning;
    }

    at::Tensor input(const std::string& name, const EngineCall& call, const Shape& shape) const {
        if (name == "sample") return view(call.sample, shape).to(device_);
        if (name == "time_embedding") {
            return view(call.time_embedding, {call.rows, call.embedding_width}).to(device_);
        }
        const auto found = context_.find(name);
        if (found == context_.end()) {
            throw Failure(Status::engine, path_ + ": takes '" + name + "', which the manifest does not feed");
        }
        return found->second;
    }

    void take(const std::vector<at::Tensor>& outputs, const Shape& shape, float* output) const {
        const at::Tensor result = outputs.at(0).to(at::kCPU).contiguous();
        if (result.sizes() != at::IntArrayRef(shape) || result.scalar_type() != at::kFloat) {
            throw Failure(Status::engine, path_ + ": gave " + text_of(result.sizes().vec()) + " for " + text_of(shape));
        }
        std::memcpy(output, result.const_data_ptr<float>(), size_of(shape) * sizeof(float));
    }

    std::string path_;
    at::Device device_;
    Loader loader_;
    std::vector<std::string> names_;
    std::shared_ptr<const Conditioning> kept_;
    std::map<std::string, at::Tensor> context_;
};

}  // namespace

std::string version() { return APTP_TORCH_VERSION; }

std::unique_ptr<Engine> open_package(const std::filesystem::path& path, const CompiledEntry& entry,
                                     std::optional<std::int64_t> threads) {
    const auto found = entry.target.find("device");
    const std::string device = found == entry.target.end() ? "cpu" : found->second;
    try {
        const auto most = threads ? threads : quota_threads(allowed_processors());
        if (most && device == "cpu") at::set_num_threads(static_cast<int>(*most));
        return std::make_unique<PackageEngine>(path, device);
    } catch (const std::exception& error) {
        throw Failure(Status::engine, path.string() + ": does not open: " + error.what());
    }
}

}  // namespace aptp::aoti
