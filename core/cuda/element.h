// Elements of any dtype as the number that a kernel computes with: float for float32 and bfloat16, double for float64,
// int64 for all others. The dtype is known at run time only; every thread takes the same branch. Where loads shall not
// wait for it, kernels are made for each floating type, and compute in double.
#pragma once

#include "core/cuda/launch.h"
#include "core/kernels.h"
#include "core/ref/loops.h"

namespace gradus::cuda {

/// A tensor's memory, read as W.
template <class W>
GRADUS_ANYWHERE inline W load(const void* data, DType dtype, int64_t i) {
  switch (dtype) {
    case DType::float32: return static_cast<W>(static_cast<const float*>(data)[i]);
    case DType::float64: return static_cast<W>(static_cast<const double*>(data)[i]);
    case DType::int32: return static_cast<W>(static_cast<const int32_t*>(data)[i]);
    case DType::int64: return static_cast<W>(static_cast<const int64_t*>(data)[i]);
    case DType::uint8: return static_cast<W>(static_cast<const uint8_t*>(data)[i]);
    case DType::boolean: return static_cast<W>(static_cast<const bool*>(data)[i]);
    case DType::bfloat16: return static_cast<W>(static_cast<float>(static_cast<const bfloat16*>(data)[i]));
  }
  return W{};
}

/// The same for writing; conversions are those of core/ref.
template <class W>
GRADUS_ANYWHERE inline void store(void* data, DType dtype, int64_t i, W value) {
  switch (dtype) {
    case DType::float32: static_cast<float*>(data)[i] = ref::narrow<float>(value); break;
    case DType::float64: static_cast<double*>(data)[i] = ref::narrow<double>(value); break;
    case DType::int32: static_cast<int32_t*>(data)[i] = ref::narrow<int32_t>(value); break;
    case DType::int64: static_cast<int64_t*>(data)[i] = ref::narrow<int64_t>(value); break;
    case DType::uint8: static_cast<uint8_t*>(data)[i] = ref::narrow<uint8_t>(value); break;
    case DType::boolean: static_cast<bool*>(data)[i] = ref::narrow<bool>(value); break;
    case DType::bfloat16: static_cast<bfloat16*>(data)[i] = ref::narrow<bfloat16>(value); break;
  }
}

/// Calls body(W()) with the type that a kernel on this dtype computes in.
template <class Body>
void visit_number(DType dtype, Body&& body) {
  if (dtype == DType::float32 || dtype == DType::bfloat16) return body(float());
  if (dtype == DType::float64) return body(double());
  return body(int64_t());
}

/// Calls body(T()) with a floating element type.
template <class Body>
void visit_floating(DType dtype, Body&& body) {
  if (dtype == DType::float64) return body(double());
  if (dtype == DType::bfloat16) return body(bfloat16());
  return body(float());
}

/// An element of such a type as the number that is computed with.
GRADUS_ANYWHERE inline double wide(double x) { return x; }
GRADUS_ANYWHERE inline int64_t wide(int64_t x) { return x; }
GRADUS_ANYWHERE inline double wide(bfloat16 x) { return static_cast<double>(static_cast<float>(x)); }

/// A tensor's memory of such a type, which is computed with in double, and that of any other type, in int64.
template <class T>
struct Elements {
  using Element = T;
  using Number = double;
  static constexpr int at_once = 4;  // loads under way
  explicit Elements(const Tensor& x) : data(static_cast<const T*>(x.raw())) {}
  GRADUS_ANYWHERE T operator[](int64_t i) const { return data[i]; }
  const T* data;
};
struct Integers {
  using Element = int64_t;
  using Number = int64_t;
  static constexpr int at_once = 1;
  explicit Integers(const Tensor& x) : data(x.raw()), type(x.dtype()) {}
  GRADUS_ANYWHERE int64_t operator[](int64_t i) const { return load<int64_t>(data, type, i); }
  const void* data;
  DType type;
};

/// Calls body with the one or the other of x.
template <class Body>
void visit_elements(const Tensor& x, Body&& body) {
  if (!is_floating(x.dtype())) return body(Integers(x));
  visit_floating(x.dtype(), [&]<class T>(T) { body(Elements<T>(x)); });
}

/// Neighbours in memory that one access hands out, of those that kernels for T read.
template <class T>
inline constexpr int64_t neighbours_at_once = sizeof(T) == 2 ? 16 : 8;

/// A tensor of one dimension, or a contiguous one's elements, or none: an undefined one reads as `otherwise`
/// everywhere.
struct Vector {
  Vector(const Tensor& x, double value_of_none)
      : data(x.defined() ? x.raw() : nullptr),
        stride(!x.defined()    ? 0
               : x.rank() == 1 ? x.strides()[0]
                               : 1),
        dtype(x.defined() ? x.dtype() : DType::float32),
        otherwise(value_of_none) {}
  GRADUS_ANYWHERE double operator[](int64_t i) const {
    return data ? load<double>(data, dtype, i * stride) : otherwise;
  }
  GRADUS_ANYWHERE void set(int64_t i, double value) const { store<double>(data, dtype, i * stride, value); }

  void* data;
  int64_t stride;
  DType dtype;
  double otherwise;
};

/// The same for reading, beside activations of type T: float64, or float32 beside bfloat16 too.
template <class T>
struct Parameters {
  using Element = std::conditional_t<std::is_same_v<T, double>, double, float>;
  Parameters(const Tensor& x, double value_of_none)
      : data(x.defined() ? static_cast<const Element*>(x.raw()) : nullptr),
        stride(Vector(x, 0).stride),
        otherwise(value_of_none) {}
  GRADUS_ANYWHERE double operator[](int64_t i) const { return data ? data[i * stride] : otherwise; }

  const Element* data;
  int64_t stride;
  double otherwise;
};

/// A tensor of four dimensions, such as images [N, C, H, W].
struct Places {
  explicit Places(const Tensor& t) : data(t.raw()), type(t.dtype()) {
    for (int d = 0; d < 4; ++d) stride[d] = t.strides()[d], extent[d] = t.shape()[d];
  }
  GRADUS_ANYWHERE int64_t place(int64_t a, int64_t b, int64_t c, int64_t d) const {
    return a * stride[0] + b * stride[1] + c * stride[2] + d * stride[3];
  }
  GRADUS_ANYWHERE double at(int64_t a, int64_t b, int64_t c, int64_t d) const {
    return load<double>(data, type, place(a, b, c, d));
  }
  void* data;
  DType type;
  int64_t stride[4], extent[4];
};

/// A weight [O, I, H, W] of a convolution, in any memory order.
struct Filters {
  explicit Filters(const Tensor& w)
      : data(w.raw()), stride{w.strides()[0], w.strides()[1], w.strides()[2], w.strides()[3]}, dtype(w.dtype()) {}
  GRADUS_ANYWHERE int64_t place(int64_t out, int64_t in, int64_t row, int64_t column) const {
    return out * stride[0] + in * stride[1] + row * stride[2] + column * stride[3];
  }
  GRADUS_ANYWHERE float get(int64_t out, int64_t in, int64_t row, int64_t column) const {
    return load<float>(data, dtype, place(out, in, row, column));
  }
  GRADUS_ANYWHERE void set(int64_t out, int64_t in, int64_t row, int64_t column, float value) const {
    store<float>(data, dtype, place(out, in, row, column), value);
  }

  void* data;
  int64_t stride[4];
  DType dtype;
};

}  // namespace gradus::cuda
