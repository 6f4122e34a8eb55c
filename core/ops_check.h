// What operations check before they call a kernel: one wording for each mistake. For core/ alone.
#pragma once

#include <algorithm>

#include "core/check_defined.h"
#include "core/kernels.h"
#include "core/tensor.h"

namespace gradus::check {

// The throwing halves, out of line so that a passing check costs a comparison.
[[noreturn]] void fail_floating(const char* op, const Tensor& x);
[[noreturn]] void fail_same_dtype(const char* op, const Tensor& a, const Tensor& b);
[[noreturn]] void fail_shape(const char* op, const char* role, const Tensor& x, const Shape& expected);
[[noreturn]] void fail_rank(const char* op, const char* role, const Tensor& x, int rank, const char* layout);

[[noreturn]] void fail_extents(const char* op, const Shape& shape, DType dtype);

/// The bytes of a tensor. Throws where an extent is negative or the bytes overflow, with empty extents taken as 1: so
/// do strides, and numel() of a shape that passed is safe.
inline size_t bytes(const char* op, const Shape& shape, DType dtype) {
  auto spanned = static_cast<int64_t>(size_of(dtype));
  bool empty = false;
  for (int64_t extent : shape) {
    if (extent < 0 || __builtin_mul_overflow(spanned, std::max<int64_t>(extent, 1), &spanned)) [[unlikely]]
      fail_extents(op, shape, dtype);
    empty |= extent == 0;
  }
  return empty ? 0 : static_cast<size_t>(spanned);
}

/// float32 or float64: what kernels beyond the elementwise ones compute in.
inline void floating(const char* op, const Tensor& x) {
  defined(op, x);
  if (x.dtype() != DType::float32 && x.dtype() != DType::float64) [[unlikely]]
    fail_floating(op, x);
}

/// float32, float64 or bfloat16: what activations consist of.
inline void activation(const char* op, const Tensor& x) {
  defined(op, x);
  if (!is_floating(x.dtype())) [[unlikely]]
    fail_floating(op, x);
}
/// That of parameters and statistics beside activations of a dtype.
constexpr DType parameter_dtype(DType activations) {
  return activations == DType::bfloat16 ? DType::float32 : activations;
}

inline void same_dtype(const char* op, const Tensor& a, const Tensor& b) {
  if (a.dtype() != b.dtype()) [[unlikely]]
    fail_same_dtype(op, a, b);
}

/// Defined and of exactly this shape; `role` is a noun phrase such as "the bias".
inline void shape(const char* op, const char* role, const Tensor& x, const Shape& expected) {
  defined(op, x, role);
  if (!(x.shape() == expected)) [[unlikely]]
    fail_shape(op, role, x, expected);
}

/// Of this rank; `layout` names its dimensions, such as "[N,C,H,W]".
inline void rank(const char* op, const char* role, const Tensor& x, int rank, const char* layout) {
  defined(op, x, role);
  if (x.rank() != rank) [[unlikely]]
    fail_rank(op, role, x, rank, layout);
}

/// That a parameter or statistic has the dtype that belongs to activations x.
void parameter(const char* op, const char* role, const Tensor& parameter, const Tensor& x);
/// A weight beside activations x: of their dtype, or float32 beside bfloat16.
void weight(const char* op, const Tensor& weight, const Tensor& x);
/// An optional one-dimensional parameter of n elements, such as the bias of a convolution.
void optional_vector(const char* op, const char* role, const Tensor& vector, int64_t n, const Tensor& x);

const char* name(UnaryOp op);
const char* name(BinaryOp op);
/// That the operation takes elements of x's dtype.
void unary(UnaryOp op, const Tensor& x);
/// The same for two operands of one dtype; returns the dtype of the result.
DType binary(BinaryOp op, const Tensor& a, const Tensor& b);
DType binary(BinaryOp op, const Tensor& a);
/// That the value is one that elements of this dtype can hold: any for floating types, integers in range for integers.
void scalar(const char* op, DType dtype, double value);
/// That x can be written element by element: no two elements share memory.
/// And waits for work beside that reads it.
void writable(const char* op, const Tensor& x);
/// That the extents are those of parts of x along dim.
void parts(const char* op, const Tensor& x, const std::vector<int64_t>& extents, int64_t dim);
/// `count` equal extents that make up that of x along dim.
std::vector<int64_t> equal_parts(const char* op, const Tensor& x, int64_t count, int64_t dim);
/// That every element of an int64 tensor lies in [0, extent). Reads the values.
void indices(const char* op, const Tensor& index, int64_t extent);

}  // namespace gradus::check
