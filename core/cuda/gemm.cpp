#include "core/cuda/gemm.h"

#include <mutex>

#include "core/accelerator.h"
#include "core/cuda/context.h"

namespace gradus::cuda {
namespace {

cudaDataType_t data_type(DType dtype) {
  return dtype == DType::float64 ? CUDA_R_64F : dtype == DType::bfloat16 ? CUDA_R_16BF : CUDA_R_32F;
}

cublasComputeType_t compute_type(DType dtype) {
  if (dtype == DType::float64) return CUBLAS_COMPUTE_64F;
  if (dtype == DType::float32 && accelerator().tf32) return CUBLAS_COMPUTE_32F_FAST_TF32;
  return CUBLAS_COMPUTE_32F;
}

}  // namespace

void gemm(const Gemm& p) {
  // To cuBLAS a row-major matrix is the transpose of a column-major one: it is asked for c^T = b^T a^T.
  const auto operation = [](const Matrix& matrix) { return matrix.transposed ? CUBLAS_OP_T : CUBLAS_OP_N; };
  const float alpha32 = static_cast<float>(p.alpha), beta32 = static_cast<float>(p.beta);
  const bool wide = p.dtype == DType::float64;
  const cudaDataType_t type = data_type(p.dtype), result = data_type(p.result);
  static std::mutex mutex;  // of the handle, which serves one thread, and its stream and workspace, at a time
  const std::lock_guard lock(mutex);
  check(cublasGemmStridedBatchedEx_64(Context::get().cublas(), operation(p.b), operation(p.a), p.n, p.m, p.k,
                                      wide ? static_cast<const void*>(&p.alpha) : &alpha32, p.b.data, type, p.b.leading,
                                      p.b.batch_stride, p.a.data, type, p.a.leading, p.a.batch_stride,
                                      wide ? static_cast<const void*>(&p.beta) : &beta32, p.c.data, result, p.c.leading,
                                      p.c.batch_stride, p.batch, compute_type(p.dtype), CUBLAS_GEMM_DEFAULT),
        "matmul");
}

}  // namespace gradus::cuda
