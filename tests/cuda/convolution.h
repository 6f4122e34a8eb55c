// Operands and comparisons for tests of the GPU's convolutions by loops on the host.
#pragma once

#include <cmath>

#include "core/accelerator.h"
#include "core/ops.h"

extern "C" int64_t gradus_cuda_on_host_launches();
extern "C" void gradus_cuda_on_host_reverse(bool reversed);

namespace gradus::testing {

enum class Order { channels_last, contiguous, gaps };
inline constexpr Order every_order[] = {Order::channels_last, Order::contiguous, Order::gaps};

/// Channels-last.
inline Tensor activations(const Shape& shape, uint64_t stream, DType dtype = DType::float32) {
  return contiguous(cast(random_normal(shape, 0, 1, {1, stream, 0}), dtype), Layout::channels_last);
}

/// In three memory orders.
inline Tensor activations_in(Order order, const Shape& shape, uint64_t stream, DType dtype) {
  if (order == Order::channels_last) return activations(shape, stream, dtype);
  if (order == Order::contiguous) return contiguous(activations(shape, stream, dtype));
  Shape larger = shape;  // of which it is a view
  larger[1] += 2;
  larger[3] += 3;
  return slice(slice(activations(larger, stream, dtype), 1, 1, 1 + shape[1]), 3, 2, 2 + shape[3]);
}

/// A weight in three memory orders: OHWI, OIHW, and a view of a larger one.
inline Tensor weight(const Shape& shape, Order order) {
  if (order == Order::channels_last) return activations(shape, 9);
  if (order == Order::contiguous) return random_normal(shape, 0, 1, {1, 9, 0});
  return slice(random_normal({shape[0], shape[1] + 3, 3, 3}, 0, 1, {1, 9, 0}), 1, 2, 2 + shape[1]);
}

/// While one lives, products are of TF32.
struct InTf32 {
  InTf32() { set_accelerator({.tf32 = true}); }
  ~InTf32() { set_accelerator({}); }
};

inline bool same(const Tensor& first, const Tensor& second) { return first.to_bytes() == second.to_bytes(); }

/// An output in the same memory order that shows where nothing was written.
inline Tensor unwritten(const Tensor& like) {
  Tensor t = clone(like);
  fill_(t, NAN);
  return t;
}

inline double relative_error(const Tensor& got, const Tensor& expected) {
  const Tensor right = cast(expected, DType::float64);
  return norm(cast(got, DType::float64) - right) / norm(right);
}

}  // namespace gradus::testing
