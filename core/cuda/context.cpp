#include "core/cuda/context.h"

#include <mutex>

#include "core/allocator.h"
#include "core/cuda/launch.h"
#include "core/error.h"

namespace gradus::cuda {
namespace {

std::string version(int number) { return text(number / 1000, ".", number % 1000 / 10); }

int driver_version() {
  int number = 0;
  cudaDriverGetVersion(&number);  // 0 where there is none
  return number;
}

}  // namespace

std::string explain(cudaError_t status, const char* what, int built, int driver) {
  switch (status) {
    case cudaErrorNoDevice:
    case cudaErrorInitializationError:
    case cudaErrorStubLibrary:
      return "no NVIDIA GPU is visible; see nvidia-smi and CUDA_VISIBLE_DEVICES, or use a build with -Ddevice=cpu";
    case cudaErrorInsufficientDriver:
      if (driver == 0)
        return "no NVIDIA driver is installed, so no GPU is visible; see nvidia-smi, or use a build with -Ddevice=cpu";
      return text("the NVIDIA driver supports CUDA ", version(driver), ", but this build needs ", version(built),
                  "; update the driver");
    case cudaErrorNoKernelImageForDevice:
    case cudaErrorUnsupportedPtxVersion:
      return "this build has no code for this GPU; configure with -Dgpu_archs set to its compute capability, such as "
             "9.0";
    case cudaErrorMemoryAllocation: return text(what, ": the GPU has no memory left; use a smaller batch or model");
    default: return text(what, ": ", cudaGetErrorString(status), " (", cudaGetErrorName(status), ")");
  }
}

void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // forgets an error that a later call could recover from
  throw Error(ErrorKind::device, "[cuda] " + explain(status, what, CUDART_VERSION, driver_version()));
}

void check(cublasStatus_t status, const char* what) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  fail(ErrorKind::backend, what, "cuBLAS: ", cublasGetStatusString(status));
}

void check(cudnnStatus_t status, const char* what) {
  if (status == CUDNN_STATUS_SUCCESS) return;
  char detail[512] = {};
  cudnnGetLastErrorString(detail, sizeof detail);
  fail(ErrorKind::backend, what, "cuDNN: ", cudnnGetErrorString(status), detail[0] ? "; " : "", detail);
}

void check_launch() { check(cudaGetLastError(), "starting a kernel"); }

void allow_shared(const void* kernel, size_t bytes) {
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes)),
        "shared memory for a kernel");
}

size_t most_shared() { return Context::get().properties().sharedMemPerBlockOptin; }

cudaStream_t current_stream() { return Context::get().stream(); }

Context& Context::get() {
  static Context* context = new Context;
  return *context;
}

Context::Context() {
  int count = 0;
  check(cudaGetDeviceCount(&count), "looking for a GPU");
  if (count == 0) check(cudaErrorNoDevice, "looking for a GPU");
  check(cudaSetDevice(0), "choosing the GPU");
  check(cudaGetDeviceProperties(&properties_, 0), "asking the GPU what it is");
  for (cudaStream_t& stream : stream_)
    check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "making a stream");
  for (cudaEvent_t* event : {&forked_, &joined_})
    check(cudaEventCreateWithFlags(event, cudaEventDisableTiming), "making an event");
}

namespace {
std::mutex handles;
thread_local int current = 0;  // the stream that this thread's work goes to

constexpr size_t matmul_workspace = size_t{32} << 20;  // bytes of each stream

char* allocate_for_matmul(size_t bytes) {
  void* memory = nullptr;
  if (cudaMalloc(&memory, bytes) != cudaSuccess) {
    cudaGetLastError();
    release_cached_memory();
    check(cudaMalloc(&memory, bytes), "memory for matmul");
  }
  return static_cast<char*>(memory);
}

}  // namespace

cudaStream_t Context::stream() const { return stream_[current]; }

void Context::fork() {
  check(cudaEventRecord(forked_, stream_[0]), "dividing work");
  check(cudaStreamWaitEvent(stream_[1], forked_, 0), "dividing work");
}

void Context::join() {
  check(cudaEventRecord(joined_, stream_[1]), "joining work");
  check(cudaStreamWaitEvent(stream_[0], joined_, 0), "joining work");
}

void Context::use_side_stream(bool side) { current = side ? 1 : 0; }

cublasHandle_t Context::cublas() {
  const std::lock_guard lock(handles);
  if (!cublas_) {
    cublasHandle_t handle = nullptr;
    check(cublasCreate(&handle), "matmul");
    cublas_.reset(handle);
  }
  // A workspace of ours makes results repeatable, and keeps cuBLAS from allocating while a graph is captured: so both
  // streams get theirs before.
  if (!cublas_workspaces_) cublas_workspaces_ = allocate_for_matmul(streams * matmul_workspace);
  if (cublas_stream_ != current) {
    check(cublasSetStream(cublas_.get(), stream_[current]), "matmul");  // and takes the workspace away
    char* const mine = cublas_workspaces_ + static_cast<size_t>(current) * matmul_workspace;
    check(cublasSetWorkspace(cublas_.get(), mine, matmul_workspace), "matmul");
    cublas_stream_ = current;
  }
  return cublas_.get();
}

cudnnHandle_t Context::cudnn() {
  const std::lock_guard lock(handles);
  if (!cudnn_) {
    cudnnHandle_t handle = nullptr;
    check(cudnnCreate(&handle), "convolution");
    cudnn_.reset(handle);
  }
  if (cudnn_stream_ != current) {
    check(cudnnSetStream(cudnn_.get(), stream_[current]), "convolution");
    cudnn_stream_ = current;
  }
  return cudnn_.get();
}

}  // namespace gradus::cuda
