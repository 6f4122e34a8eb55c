// What every reference kernel is made of: a choice of element type, conversions to and from the type it computes in,
// and a walk over tensors of any strides.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string_view>
#include <type_traits>

#include "core/dtype.h"
#include "core/error.h"
#include "core/tensor.h"

namespace gradus::ref {

/// The type a reference kernel computes in: double for floating elements, int64 for all others.
template <class T>
using Wide = std::conditional_t<is_floating(dtype_of<T>), double, int64_t>;

template <class T>
GRADUS_ANYWHERE Wide<T> widen(T value) {
  if constexpr (std::is_same_v<T, bfloat16>)
    return static_cast<float>(value);
  else
    return static_cast<Wide<T>>(value);
}

/// Conversion to any element type: floating to integer truncates and saturates, with NaN as 0; integer to a narrower
/// integer wraps; anything to bool is `!= 0`.
template <class T, class W>
GRADUS_ANYWHERE T narrow(W value) {
  if constexpr (std::is_same_v<T, bool>) {
    return value != 0;
  } else if constexpr (std::is_same_v<T, bfloat16>) {
    return bfloat16(static_cast<float>(value));
  } else if constexpr (std::is_integral_v<T> && std::is_floating_point_v<W>) {
    if (value != value) return 0;
    if (value <= static_cast<W>(std::numeric_limits<T>::min())) return std::numeric_limits<T>::min();
    if (value >= static_cast<W>(std::numeric_limits<T>::max())) return std::numeric_limits<T>::max();
    return static_cast<T>(value);
  } else {
    return static_cast<T>(value);
  }
}

/// Calls body(T()) with the element type.
template <class Body>
void visit_any(DType dtype, Body&& body) {
  switch (dtype) {
    case DType::float32: return body(float());
    case DType::float64: return body(double());
    case DType::int32: return body(int32_t());
    case DType::int64: return body(int64_t());
    case DType::uint8: return body(uint8_t());
    case DType::boolean: return body(bool());
    case DType::bfloat16: return body(bfloat16());
  }
}

/// The same for float32 and float64 alone; anything else throws, naming the kernel.
template <class Body>
void visit_floating(std::string_view kernel, DType dtype, Body&& body) {
  if (dtype == DType::float32) return body(float());
  if (dtype == DType::float64) return body(double());
  fail(ErrorKind::dtype, kernel, "computes in float32 or float64, got ", dtype, "; cast it first");
}

template <class T>
T* pointer(const Tensor& x) {
  return static_cast<T*>(x.raw());
}

template <size_t N>
using Offsets = std::array<int64_t, N>;

/// Walks N tensors of one shape together in logical row-major order, a run along the last dimension at a time:
/// body(offsets of the run's first elements, strides along the run, length). Empty shapes have no runs.
template <size_t N, class Body>
void for_each_run(const Shape& shape, const std::array<Strides, N>& strides, Body&& body) {
  if (numel(shape) == 0) return;
  const int outer = shape.rank() - 1;
  Offsets<N> at{}, step{};
  if (outer < 0) return body(at, step, int64_t{1});
  for (size_t k = 0; k < N; ++k) step[k] = strides[k][outer];
  Dims position = Dims::filled(outer, 0);
  while (true) {
    body(at, step, shape[outer]);
    int d = outer - 1;
    for (; d >= 0; --d) {
      for (size_t k = 0; k < N; ++k) at[k] += strides[k][d];
      if (++position[d] < shape[d]) break;
      for (size_t k = 0; k < N; ++k) at[k] -= strides[k][d] * shape[d];
      position[d] = 0;
    }
    if (d < 0) return;
  }
}

/// The same, an element at a time: body(offset of the element in each tensor).
template <size_t N, class Body>
void for_each_element(const Shape& shape, const std::array<Strides, N>& strides, Body&& body) {
  for_each_run<N>(shape, strides, [&](Offsets<N> at, const Offsets<N>& step, int64_t count) {
    for (int64_t i = 0; i < count; ++i) {
      body(at);
      for (size_t k = 0; k < N; ++k) at[k] += step[k];
    }
  });
}

/// Shape or strides with one dimension left out, to walk everything but that dimension.
inline Dims without(Dims dims, int dim) {
  dims.erase(dim);
  return dims;
}

}  // namespace gradus::ref
