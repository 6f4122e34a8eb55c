// Elementwise kernels: four elements per thread where all operands are flat arrays of one floating-point type, one at a
// time for any strides and dtypes.
#include "core/cuda/element.h"
#include "core/cuda/functions.h"
#include "core/cuda/walk.h"
#include "core/kernels.h"

namespace gradus::kernels {
namespace {

using namespace cuda;

// ---- Functions of one or two numbers --------------------------------------------------------------------------------

template <class W>
struct UnaryFunction {
  UnaryOp op;
  W param;
  GRADUS_ANYWHERE W operator()(W x) const { return apply(op, x, param); }
};
template <class W>
struct BinaryFunction {
  BinaryOp op;
  W param;
  GRADUS_ANYWHERE W operator()(W a, W b) const { return apply(op, a, b, param); }
};
template <class W>
struct WithRight {
  BinaryOp op;
  W right;
  GRADUS_ANYWHERE W operator()(W a) const { return apply(op, a, right, W{0}); }
};
template <class W>
struct WithLeft {
  BinaryOp op;
  W left;
  GRADUS_ANYWHERE W operator()(W b) const { return apply(op, left, b, W{0}); }
};
template <class W>
struct Clamped {
  W low, high;
  GRADUS_ANYWHERE W operator()(W x) const { return minimum_of(maximum_of(x, low), high); }
};
template <class W>
struct ClampGradient {
  W low, high;
  GRADUS_ANYWHERE W operator()(W gy, W x) const { return x < low || x > high ? W{0} : gy; }
};
template <class W>
struct ScaledSum {
  W alpha, beta;
  GRADUS_ANYWHERE W operator()(W x, W y) const {
    if (beta == 0) return alpha * x;  // whatever y holds
    if constexpr (std::is_integral_v<W>)
      return alpha * x + beta * y;
    else
      return std::fma(alpha, x, beta * y);
  }
};

// ---- Kernels --------------------------------------------------------------------------------------------------------

/// Four elements that one instruction loads.
template <class T>
struct alignas(4 * sizeof(T)) Quad {
  T at[4];
};

template <class T>
GRADUS_ANYWHERE float number(T x) {
  return static_cast<float>(x);
}

/// Flat arrays of float or bfloat16.
template <class T, class F>
struct FlatUnary {
  const T* x;
  T* out;
  int64_t count;
  F f;
  GRADUS_ANYWHERE void operator()(int64_t i) const {
    if (4 * i + 4 <= count) {
      const Quad<T> from = reinterpret_cast<const Quad<T>*>(x)[i];
      Quad<T> to;
      for (int k = 0; k < 4; ++k) to.at[k] = T(f(number(from.at[k])));
      reinterpret_cast<Quad<T>*>(out)[i] = to;
    } else {
      for (int64_t k = 4 * i; k < count; ++k) out[k] = T(f(number(x[k])));
    }
  }
};
template <class T, class F>
struct FlatBinary {
  const T *a, *b;
  T* out;
  int64_t count;
  F f;
  GRADUS_ANYWHERE void operator()(int64_t i) const {
    if (4 * i + 4 <= count) {
      const Quad<T> left = reinterpret_cast<const Quad<T>*>(a)[i], right = reinterpret_cast<const Quad<T>*>(b)[i];
      Quad<T> to;
      for (int k = 0; k < 4; ++k) to.at[k] = T(f(number(left.at[k]), number(right.at[k])));
      reinterpret_cast<Quad<T>*>(out)[i] = to;
    } else {
      for (int64_t k = 4 * i; k < count; ++k) out[k] = T(f(number(a[k]), number(b[k])));
    }
  }
};

/// Any strides and dtypes.
template <class W, class F>
struct AnyUnary {
  Walk<2> walk;  // out, x
  const void* x;
  void* out;
  DType x_type, out_type;
  F f;
  GRADUS_ANYWHERE void operator()(int64_t i) const {
    int64_t at[2];
    walk.places(i, at);
    store<W>(out, out_type, at[0], f(load<W>(x, x_type, at[1])));
  }
};
template <class W, class F>
struct AnyBinary {
  Walk<3> walk;  // out, a, b
  const void *a, *b;
  void* out;
  DType in_type, out_type;
  F f;
  GRADUS_ANYWHERE void operator()(int64_t i) const {
    int64_t at[3];
    walk.places(i, at);
    store<W>(out, out_type, at[0], f(load<W>(a, in_type, at[1]), load<W>(b, in_type, at[2])));
  }
};

/// Whether quads of these may be loaded whole.
template <class T>
bool aligned(std::initializer_list<const void*> pointers) {
  for (const void* pointer : pointers)
    if (reinterpret_cast<uintptr_t>(pointer) % sizeof(Quad<T>) != 0) return false;
  return true;
}

template <class W, class F>
void map(const Tensor& x, Tensor& out, const F& f) {
  const Walk<2> walk = walk_over(out, x);
  if constexpr (std::is_same_v<W, float>) {
    const auto flat = [&]<class T>(T) {
      if (!aligned<T>({x.raw(), out.raw()})) return false;
      for_each((walk.count + 3) / 4, FlatUnary<T, F>{static_cast<const T*>(x.raw()), static_cast<T*>(out.raw()), walk.count, f});
      return true;
    };
    if (walk.flat() && x.dtype() == out.dtype() && (x.dtype() == DType::float32 ? flat(float()) : flat(bfloat16())))
      return;
  }
  for_each(walk.count, AnyUnary<W, F>{walk, x.raw(), out.raw(), x.dtype(), out.dtype(), f});
}

template <class W, class F>
void map(const Tensor& a, const Tensor& b, Tensor& out, const F& f) {
  const Walk<3> walk = walk_over(out, a, b);
  if constexpr (std::is_same_v<W, float>) {
    const auto flat = [&]<class T>(T) {
      if (!aligned<T>({a.raw(), b.raw(), out.raw()})) return false;
      for_each((walk.count + 3) / 4,
               FlatBinary<T, F>{static_cast<const T*>(a.raw()), static_cast<const T*>(b.raw()),
                                static_cast<T*>(out.raw()), walk.count, f});
      return true;
    };
    if (walk.flat() && a.dtype() == out.dtype() && (a.dtype() == DType::float32 ? flat(float()) : flat(bfloat16())))
      return;
  }
  for_each(walk.count, AnyBinary<W, F>{walk, a.raw(), b.raw(), out.raw(), a.dtype(), out.dtype(), f});
}

struct Choose {
  Walk<4> walk;  // out, condition, a, b
  const bool* condition;
  const void *a, *b;
  void* out;
  size_t size;
  GRADUS_ANYWHERE void operator()(int64_t i) const {
    int64_t at[4];
    walk.places(i, at);
    const bool first = condition[at[1]];
    const void* from = first ? a : b;
    const int64_t place = first ? at[2] : at[3];
    switch (size) {
      case 1: static_cast<uint8_t*>(out)[at[0]] = static_cast<const uint8_t*>(from)[place]; break;
      case 2: static_cast<uint16_t*>(out)[at[0]] = static_cast<const uint16_t*>(from)[place]; break;
      case 4: static_cast<uint32_t*>(out)[at[0]] = static_cast<const uint32_t*>(from)[place]; break;
      default: static_cast<uint64_t*>(out)[at[0]] = static_cast<const uint64_t*>(from)[place]; break;
    }
  }
};

struct Fill {
  Walk<1> walk;
  void* out;
  DType type;
  double value;
  GRADUS_ANYWHERE void operator()(int64_t i) const {
    int64_t at[1];
    walk.places(i, at);
    store<double>(out, type, at[0], value);
  }
};

}  // namespace

void unary(UnaryOp op, const Tensor& x, Tensor& out, double param) {
  visit_number(x.dtype(), [&]<class W>(W) { map<W>(x, out, UnaryFunction<W>{op, static_cast<W>(param)}); });
}

void binary(BinaryOp op, const Tensor& a, const Tensor& b, Tensor& out, double param) {
  visit_number(a.dtype(), [&]<class W>(W) { map<W>(a, b, out, BinaryFunction<W>{op, static_cast<W>(param)}); });
}

// A tensor meets the scalar rounded to the type that it is computed in.
void binary_scalar(BinaryOp op, const Tensor& a, double b, Tensor& out) {
  visit_number(a.dtype(), [&]<class W>(W) { map<W>(a, out, WithRight<W>{op, ref::narrow<W>(b)}); });
}

void scalar_binary(BinaryOp op, double a, const Tensor& b, Tensor& out) {
  visit_number(b.dtype(), [&]<class W>(W) { map<W>(b, out, WithLeft<W>{op, ref::narrow<W>(a)}); });
}

void clamp(const Tensor& x, double low, double high, Tensor& out) {
  visit_number(x.dtype(), [&]<class W>(W) { map<W>(x, out, Clamped<W>{ref::narrow<W>(low), ref::narrow<W>(high)}); });
}

void clamp_grad(const Tensor& gy, const Tensor& x, double low, double high, Tensor& gx) {
  visit_number(x.dtype(), [&]<class W>(W) {
    map<W>(gy, x, gx, ClampGradient<W>{ref::narrow<W>(low), ref::narrow<W>(high)});
  });
}

void where(const Tensor& condition, const Tensor& a, const Tensor& b, Tensor& out) {
  const Walk<4> walk = walk_over(out, condition, a, b);
  for_each(walk.count, Choose{walk, static_cast<const bool*>(condition.raw()), a.raw(), b.raw(), out.raw(),
                              size_of(out.dtype())});
}

void axpby(double alpha, const Tensor& x, double beta, Tensor& y) {
  if (y.dtype() == DType::float32 || y.dtype() == DType::bfloat16)
    return map<float>(x, y, y, ScaledSum<float>{static_cast<float>(alpha), static_cast<float>(beta)});
  map<double>(x, y, y, ScaledSum<double>{alpha, beta});
}

void fill(double value, Tensor& out) {
  const Walk<1> walk = walk_over(out);
  if (value == 0 && !std::signbit(value) && walk.flat())
    return zero_bytes(out.raw(), static_cast<size_t>(walk.count) * size_of(out.dtype()));
  for_each(walk.count, Fill{walk, out.raw(), out.dtype(), value});
}

}  // namespace gradus::kernels
