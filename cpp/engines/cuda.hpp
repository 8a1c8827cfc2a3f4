// What of CUDA the engines with kernels of their own need: a stream, memory on both sides, recorded work.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <stdexcept>
#include <string>

namespace aptp::cuda {

// Throws std::runtime_error, which the engine that called turns into its failure.
inline void check(cudaError_t code) {
    if (code != cudaSuccess) throw std::runtime_error(std::string("CUDA: ") + cudaGetErrorString(code));
}

class Stream {
public:
    Stream() { check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking)); }
    ~Stream() { cudaStreamDestroy(stream_); }
    Stream(const Stream&) = delete;
    Stream& operator=(const Stream&) = delete;

    cudaStream_t get() const noexcept { return stream_; }
    void synchronize() const { check(cudaStreamSynchronize(stream_)); }

private:
    cudaStream_t stream_ = nullptr;
};

// Memory of the device.
class DeviceMemory {
public:
    explicit DeviceMemory(std::size_t size) {
        if (size > 0) check(cudaMalloc(&address_, size));
    }
    ~DeviceMemory() { cudaFree(address_); }
    DeviceMemory(const DeviceMemory&) = delete;
    DeviceMemory& operator=(const DeviceMemory&) = delete;

    void* get() const noexcept { return address_; }

private:
    void* address_ = nullptr;
};

// One array of float32 in two places: `values` in pinned memory, which the device reads by itself, and at `address`.
class Mirrored {
public:
    explicit Mirrored(std::size_t count) : device_(count * sizeof(float)), size_(count * sizeof(float)) {
        void* host = nullptr;
        check(cudaMallocHost(&host, size_));
        values_ = static_cast<float*>(host);
    }
    ~Mirrored() { cudaFreeHost(values_); }
    Mirrored(const Mirrored&) = delete;
    Mirrored& operator=(const Mirrored&) = delete;

    float* values() const noexcept { return values_; }
    void* address() const noexcept { return device_.get(); }
    std::size_t size() const noexcept { return size_; }  // in bytes

    void upload(cudaStream_t stream) const {
        check(cudaMemcpyAsync(address(), values_, size_, cudaMemcpyHostToDevice, stream));
    }
    void download(cudaStream_t stream) const {
        check(cudaMemcpyAsync(values_, address(), size_, cudaMemcpyDeviceToHost, stream));
    }

private:
    DeviceMemory device_;
    std::size_t size_;
    float* values_ = nullptr;
};

// Work that was recorded once and is launched as a whole.
class Recording {
public:
    // What `work` asks of `stream`; nothing of it runs now.
    template <typename Work>
    Recording(const Stream& stream, Work work) {
        check(cudaStreamBeginCapture(stream.get(), cudaStreamCaptureModeThreadLocal));
        cudaGraph_t graph = nullptr;
        try {
            work();
        } catch (...) {
            if (cudaStreamEndCapture(stream.get(), &graph) == cudaSuccess) cudaGraphDestroy(graph);
            throw;
        }
        check(cudaStreamEndCapture(stream.get(), &graph));
        const cudaError_t code = cudaGraphInstantiate(&executable_, graph, 0);
        cudaGraphDestroy(graph);
        check(code);
    }
    ~Recording() { cudaGraphExecDestroy(executable_); }
    Recording(const Recording&) = delete;
    Recording& operator=(const Recording&) = delete;

    void launch(const Stream& stream) const { check(cudaGraphLaunch(executable_, stream.get())); }

private:
    cudaGraphExec_t executable_ = nullptr;
};

}  // namespace aptp::cuda
