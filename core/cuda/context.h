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
/// memory of static tensors may outlive it. All work goes to its one stream, so that memory can be reused as soon as
/// the work that used it is queued.
class Context {
 public:
  static Context& get();

  cudaStream_t stream() const { return stream_; }
  const cudaDeviceProp& properties() const { return properties_; }
  /// Created at their first use.
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
  cudaStream_t stream_ = nullptr;
  Owned<cublasHandle_t, cublasDestroy> cublas_;
  Owned<cudnnHandle_t, cudnnDestroy> cudnn_;
  void* cublas_workspace_ = nullptr;
};

}  // namespace gradus::cuda
