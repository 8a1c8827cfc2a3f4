#include "engines/tensorrt.hpp"

#include <NvInfer.h>

#include <algorithm>
#include <cstring>
#include <exception>
#include <fstream>
#include <iterator>
#include <list>
#include <mutex>
#include <vector>

#include "engines/cuda.hpp"
#include "engines/graph.hpp"
#include "errors.hpp"

namespace aptp::tensorrt {

namespace {

// Batches and sizes that stay recorded, the least recently used given up first.
constexpr std::size_t RECORDED = 16;

// Keeps the last error: TensorRT's functions tell no more than that they failed.
class Log : public nvinfer1::ILogger {
public:
    void log(Severity severity, const char* message) noexcept override {
        if (severity > Severity::kERROR) return;
        const std::lock_guard lock(mutex_);
        try {
            last_ = message;
        } catch (...) {
            last_.clear();
        }
    }

    std::string last() {
        const std::lock_guard lock(mutex_);
        return last_.empty() ? "TensorRT gave no reason" : last_;
    }

private:
    std::mutex mutex_;
    std::string last_;
};

nvinfer1::Dims dims_of(const Shape& shape) {
    nvinfer1::Dims dims{};
    dims.nbDims = static_cast<int>(shape.size());
    std::copy(shape.begin(), shape.end(), dims.d);
    return dims;
}

// One batch and size: a context for these shapes alone, its arrays, and the call as recorded work.
class RecordedCall {
public:
    RecordedCall(nvinfer1::ICudaEngine& plan, const EngineCall& call, const cuda::DeviceMemory& scratch,
                 std::int64_t size, const cuda::Stream& stream)
        : stream_(stream),
          context_(plan.createExecutionContext(nvinfer1::ExecutionContextAllocationStrategy::kUSER_MANAGED)),
          shape_{call.rows, call.channels, call.height, call.width},
          embedding_{call.rows, call.embedding_width},
          sample_(size_of(shape_)),
          time_embedding_(size_of(embedding_)),
          output_(size_of(shape_)) {
        if (context_ == nullptr) throw std::runtime_error("it gives no execution context");
        feed("sample", shape_, sample_);
        feed("time_embedding", embedding_, time_embedding_);
        for (const auto& [name, tensor] : *call.conditioning) {
            auto& array = conditioning_[name];
            array = std::make_unique<cuda::Mirrored>(tensor->values.size());
            feed(name.c_str(), tensor->shape, *array);
        }
        if (context_->inferShapes(0, nullptr) != 0) throw std::runtime_error("it needs inputs that are not fed");
        if (!context_->setTensorAddress(OUT_SAMPLE, output_.address())) {
            throw std::runtime_error(std::string("it has no tensor '") + OUT_SAMPLE + "'");
        }
        context_->setDeviceMemoryV2(scratch.get(), size);
    }

    bool is_for(const EngineCall& call) const {
        return shape_ == Shape{call.rows, call.channels, call.height, call.width} &&
               embedding_ == Shape{call.rows, call.embedding_width};
    }

    void run(const EngineCall& call) {
        std::memcpy(sample_.values(), call.sample, sample_.size());
        std::memcpy(time_embedding_.values(), call.time_embedding, time_embedding_.size());
        if (kept_ != call.conditioning) condition(call.conditioning);
        if (recording_ == nullptr) record();
        recording_->launch(stream_);
        stream_.synchronize();
        std::memcpy(call.output, output_.values(), output_.size());
    }

private:
    void feed(const char* name, const Shape& shape, const cuda::Mirrored& array) {
        if (!context_->setInputShape(name, dims_of(shape)) || !context_->setTensorAddress(name, array.address())) {
            throw std::runtime_error(std::string("it does not take '") + name + "' of shape " + text_of(shape));
        }
    }

    // Bring the prompts over, which is done once for as long as the same ones come.
    void condition(const std::shared_ptr<const Conditioning>& conditioning) {
        kept_ = nullptr;
        for (const auto& [name, tensor] : *conditioning) {
            const auto found = conditioning_.find(name);
            if (found == conditioning_.end() || found->second->size() != tensor->values.size() * sizeof(float)) {
                throw std::runtime_error("'" + name + "' has another shape than before");
            }
            std::memcpy(found->second->values(), tensor->values.data(), found->second->size());
            found->second->upload(stream_.get());
        }
        kept_ = conditioning;
    }

    // A first call prepares what may not be recorded.
    void record() {
        whole();
        stream_.synchronize();
        recording_ = std::make_unique<cuda::Recording>(stream_, [&] { whole(); });
    }

    void whole() {
        sample_.upload(stream_.get());
        time_embedding_.upload(stream_.get());
        if (!context_->enqueueV3(stream_.get())) throw std::runtime_error("it does not take the call");
        output_.download(stream_.get());
    }

    const cuda::Stream& stream_;
    std::unique_ptr<nvinfer1::IExecutionContext> context_;
    Shape shape_;
    Shape embedding_;
    cuda::Mirrored sample_;
    cuda::Mirrored time_embedding_;
    cuda::Mirrored output_;
    std::map<std::string, std::unique_ptr<cuda::Mirrored>> conditioning_;
    std::shared_ptr<const Conditioning> kept_;
    std::unique_ptr<cuda::Recording> recording_;
};

class PlanEngine : public Engine {
public:
    PlanEngine(std::string path, const std::vector<char>& bytes)
        : path_(std::move(path)), runtime_(nvinfer1::createInferRuntime(log_)) {
        if (runtime_ != nullptr) plan_.reset(runtime_->deserializeCudaEngine(bytes.data(), bytes.size()));
        if (plan_ == nullptr) {
            throw Failure(Status::engine, path_ + ": does not open (" + log_.last() +
                                              "); build it on this machine with `python -m export.build --codes all "
                                              "--engines tensorrt`");
        }
        size_ = plan_->getDeviceMemorySizeV2();
        scratch_ = std::make_unique<cuda::DeviceMemory>(static_cast<std::size_t>(size_));
    }

    void run(const EngineCall& call) override {
        try {
            recorded(call).run(call);
        } catch (const std::exception& error) {
            calls_.clear();  // whatever state they are in
            throw Failure(Status::engine, path_ + ": failed while running: " + error.what() + " (" + log_.last() + ")");
        }
    }

private:
    RecordedCall& recorded(const EngineCall& call) {
        const auto found =
            std::find_if(calls_.begin(), calls_.end(), [&](const auto& each) { return each->is_for(call); });
        if (found != calls_.end()) {
            calls_.splice(calls_.begin(), calls_, found);
        } else {
            calls_.push_front(std::make_unique<RecordedCall>(*plan_, call, *scratch_, size_, stream_));
            if (calls_.size() > RECORDED) calls_.pop_back();
        }
        return *calls_.front();
    }

    // In the order in which they have to outlive each other.
    std::string path_;
    Log log_;
    cuda::Stream stream_;
    std::unique_ptr<nvinfer1::IRuntime> runtime_;
    std::unique_ptr<nvinfer1::ICudaEngine> plan_;
    std::int64_t size_ = 0;
    std::unique_ptr<cuda::DeviceMemory> scratch_;  // one for all its calls, which run one at a time
    std::list<std::unique_ptr<RecordedCall>> calls_;
};

}  // namespace

std::string version() {
    return std::to_string(NV_TENSORRT_MAJOR) + "." + std::to_string(NV_TENSORRT_MINOR) + "." +
           std::to_string(NV_TENSORRT_PATCH) + "." + std::to_string(NV_TENSORRT_BUILD);
}

std::unique_ptr<Engine> open_plan(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    const std::vector<char> bytes{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    try {
        return std::make_unique<PlanEngine>(path.string(), bytes);
    } catch (const Failure&) {
        throw;
    } catch (const std::exception& error) {
        throw Failure(Status::environment,
                      "the GPU does not open: " + std::string(error.what()) + "; look at `nvidia-smi`");
    }
}

}  // namespace aptp::tensorrt
