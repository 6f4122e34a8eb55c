// The GPU as a device: memory, transfers through pinned buffers, and a line that says what it is.
#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string_view>

#include "core/cuda/context.h"
#include "core/cuda/launch.h"
#include "core/error.h"
#include "core/kernels.h"

namespace gradus {
namespace cuda {
namespace {

/// Whether the host may read device memory, as tests do that compare with core/ref: $GRADUS_CUDA_MEMORY=managed. Then
/// every transfer is waited for, and CUDA_LAUNCH_BLOCKING=1 does the same for kernels.
bool memory_is_managed() {
  static const bool managed = [] {
    const char* choice = std::getenv("GRADUS_CUDA_MEMORY");
    return choice && std::string_view(choice) == "managed";
  }();
  return managed;
}

void finish(cudaStream_t stream) { check(cudaStreamSynchronize(stream), "waiting for the GPU"); }
void finish_if_managed(cudaStream_t stream) {
  if (memory_is_managed() && !recorded_steps()) finish(stream);  // a capture cannot wait
}

/// Page-locked host memory that transfers pass through: the copy engine reads it without the driver's help, and the
/// caller's memory is free again when upload() returns. A buffer is written again only after its last transfer is done.
class Staging {
 public:
  static Staging& instance() {
    static Staging* staging = new Staging;
    return *staging;
  }

  void upload(void* to, const void* from, size_t bytes) {
    const std::lock_guard lock(mutex_);
    for (size_t done = 0; done < bytes;) {
      Buffer& buffer = next();
      const size_t count = std::min(size, bytes - done);
      check(cudaEventSynchronize(buffer.last_use), "waiting for a transfer");
      std::memcpy(buffer.data, static_cast<const char*>(from) + done, count);
      check(cudaMemcpyAsync(static_cast<char*>(to) + done, buffer.data, count, cudaMemcpyHostToDevice, stream_),
            "sending data to the GPU");
      check(cudaEventRecord(buffer.last_use, stream_), "sending data to the GPU");
      done += count;
    }
  }

  void download(void* to, const void* from, size_t bytes) {
    const std::lock_guard lock(mutex_);
    for (size_t done = 0; done < bytes;) {
      Buffer& buffer = next();
      const size_t count = std::min(size, bytes - done);
      check(cudaMemcpyAsync(buffer.data, static_cast<const char*>(from) + done, count, cudaMemcpyDeviceToHost, stream_),
            "reading data from the GPU");
      finish(stream_);  // and with it every earlier use of the buffer
      std::memcpy(static_cast<char*>(to) + done, buffer.data, count);
      done += count;
    }
  }

 private:
  static constexpr size_t size = size_t{4} << 20;
  struct Buffer {
    void* data = nullptr;
    cudaEvent_t last_use = nullptr;
  };

  Buffer& next() {
    Buffer& buffer = buffers_[turn_++ % buffers_.size()];
    if (!buffer.last_use) check(cudaEventCreateWithFlags(&buffer.last_use, cudaEventDisableTiming), "making an event");
    if (!buffer.data) check(cudaMallocHost(&buffer.data, size), "page-locked host memory");
    return buffer;
  }

  std::mutex mutex_;
  cudaStream_t stream_ = Context::get().stream();
  std::array<Buffer, 8> buffers_;
  size_t turn_ = 0;
};

}  // namespace

void zero_bytes(void* to, size_t bytes) {
  if (bytes == 0) return;
  const cudaStream_t stream = Context::get().stream();
  check(cudaMemsetAsync(to, 0, bytes, stream), "writing zeros");
  finish_if_managed(stream);
}

void copy_bytes(void* to, const void* from, size_t bytes) {
  if (bytes == 0) return;
  const cudaStream_t stream = Context::get().stream();
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream), "copying on the GPU");
  finish_if_managed(stream);
}

}  // namespace cuda

namespace device {

using cuda::check;
using cuda::Context;

const char* name() { return "cuda"; }

bool has_fast(DType dtype) {
  return dtype == DType::float32 || (dtype == DType::bfloat16 && Context::get().properties().major >= 8);
}

std::string describe() {
  const cudaDeviceProp& gpu = Context::get().properties();
  const auto version = [](int number) { return text(number / 1000, ".", number % 1000 / 10); };
  int driver = 0;
  check(cudaDriverGetVersion(&driver), "asking for the driver's version");
  const size_t cudnn = cudnnGetVersion();  // 91900 for 9.19.0
  return text("cuda: ", gpu.name, ", compute capability ", gpu.major, ".", gpu.minor, ", ", gpu.totalGlobalMem >> 30,
              " GiB, CUDA ", version(CUDART_VERSION), " on a driver for ", version(driver), ", cuDNN ", cudnn / 10000,
              ".", cudnn / 100 % 100, ".", cudnn % 100);
}

void* allocate(size_t bytes) {
  Context::get();
  void* data = nullptr;
  const size_t asked = bytes > 0 ? bytes : 1;
  const cudaError_t status = cuda::memory_is_managed() ? cudaMallocManaged(&data, asked) : cudaMalloc(&data, asked);
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    size_t left = 0, all = 0;
    cudaMemGetInfo(&left, &all);
    fail(ErrorKind::device, "allocate", "no memory for ", bytes, " bytes on the GPU, which has ", left >> 20, " of ",
         all >> 20, " MiB left; use a smaller batch or model");
  }
  check(status, "allocating memory");
  return data;
}

bool keeps_released(size_t) { return false; }
void trim() noexcept {}

void release(void* data, size_t) noexcept {
  // cudaFree waits for the device, so no queued work still uses the block. At the end of the process the driver may be
  // gone already; the memory went with it.
  (void)cudaFree(data);
}

void upload(void* to_device, const void* from_host, size_t bytes) {
  cuda::check_not_recording("upload");
  cuda::Staging::instance().upload(to_device, from_host, bytes);
  cuda::finish_if_managed(Context::get().stream());
}

void download(void* to_host, const void* from_device, size_t bytes) {
  cuda::check_not_recording("download");
  cuda::Staging::instance().download(to_host, from_device, bytes);
}

void synchronize() {
  cuda::check_not_recording("synchronize");
  finish_side_stream();
  cuda::finish(Context::get().stream());
}

}  // namespace device
}  // namespace gradus
