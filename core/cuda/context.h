// The one GPU that this process uses: its stream, its libraries' handles, and what their errors mean.
#pragma once

#include <cublas_v2.h>
#include <cuda_runtime.h>
#include <cudnn_graph.h>

#include <memory>
#include <string>

namespace gradus::cuda {

/// Throw an Error that says what failed and, where there is one, the remedy: kind device for the machine (no GPU, a
/// driver that is too old, no memory), kind backend for a library.
void check(cudaError_t status, const char* what);
void check(cublasStatus_t status, const char* what);
void check(cudnnStatus_t status, const char* what);

/// The text for a status of the runtime, of a build for CUDA `built` under a driver for CUDA `driver` (as the runtime
/// numbers versions: 13000 for 13.0).
std::string explain(cudaError_t status, const char* what, int built, int driver);

/// Made at the first use of the device, on the first GPU that CUDA_VISIBLE_DEVICES shows; never destroyed, since the
/// memory of static tensors may outlive it. All work goes to one stream, so that memory can be reused as soon as what
/// used it is queued; the exception is the side stream (side_stream.h).
class Context {
 public:
  static Context& get();

  /// The one that this thread's work goes to.
  cudaStream_t stream() const;
  /// The side stream waits for what the first one was given; and the first one for the side stream.
  void fork();
  void join();
  /// Whether this thread's work goes to the side stream.
  static void use_side_stream(bool side);
  const cudaDeviceProp& properties() const { return properties_; }
  /// For this thread's stream; created at their first use.
  cublasHandle_t cublas();
  cudnnHandle_t cudnn();

 private:
  Context();
  template <class Handle, auto destroy>
  struct Destroy {
    void operator()(Handle handle) const { destroy(handle); }
  };
  template <class Handle, auto destroy>
  using Owned = std::unique_ptr<std::remove_pointer_t<Handle>, Destroy<Handle, destroy>>;

  cudaDeviceProp properties_{};
  static constexpr int streams = 2;
  cudaStream_t stream_[streams] = {};
  cudaEvent_t forked_ = nullptr, joined_ = nullptr;
  Owned<cublasHandle_t, cublasDestroy> cublas_;
  Owned<cudnnHandle_t, cudnnDestroy> cudnn_;
  int cublas_stream_ = -1, cudnn_stream_ = -1;  // that the handles are set to
  char* cublas_workspaces_ = nullptr;           // one after another
};

}  // namespace gradus::cuda
