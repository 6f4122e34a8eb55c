// Elementwise kernels in float32, of bfloat16, and of float64 where no transcendental function is asked for: every
// tensor as flat arrays, and the vector loop for the operation. The rest take the reference's loops, on several
// threads.
#include <algorithm>

#include "core/cpu/loops.h"
#include "core/cpu/parts.h"
#include "core/cpu/stretch.h"
#include "core/cpu/vector/kernels.h"
#include "core/kernels.h"

namespace gradus::kernels {

namespace {

using cpu::by_parts;
using cpu::for_each_flat;
using cpu::in_floats;
using cpu::vector::Form;
using cpu::vector::typed_kernels;

template <class T>
T* as(char* data) {
  return reinterpret_cast<T*>(data);
}

/// body(T()) with the type that the vector loops compute x in; false where there is none, or where body says so.
template <class Body>
bool by_vectors(const Tensor& x, Body body) {
  if (in_floats(x)) return body(float());
  return x.dtype() == DType::float64 && body(double());
}

/// The form of a call from the scalar mask over (out, a, b).
Form form_of(uint32_t scalars) { return scalars == 0 ? Form::both : scalars == 4 ? Form::left : Form::right; }

/// The loops of one operation; none where T has none.
template <class T>
struct BinaryLoops {
  BinaryLoops(BinaryOp op, const Tensor& out) {
    if (out.dtype() == DType::boolean)
      comparison = typed_kernels<T>().compare[static_cast<int>(op)];
    else
      arithmetic = typed_kernels<T>().binary[static_cast<int>(op)];
  }
  explicit operator bool() const { return arithmetic ? arithmetic[0] != nullptr : comparison[0] != nullptr; }
  void operator()(Form form, const T* a, const T* b, char* out, int64_t count, double param) const {
    if (arithmetic) {
      arithmetic[static_cast<int>(form)](a, b, as<T>(out), count, static_cast<T>(param));
    } else {
      comparison[static_cast<int>(form)](a, b, reinterpret_cast<bool*>(out), count);
    }
  }
  const typename cpu::vector::Elementwise<T>::Binary* arithmetic = nullptr;
  const typename cpu::vector::Elementwise<T>::Compare* comparison = nullptr;
};

}  // namespace

void unary(UnaryOp op, const Tensor& x, Tensor& out, double param) {
  const bool done = by_vectors(x, [&]<class T>(T) {
    const auto loop = typed_kernels<T>().unary[static_cast<int>(op)];
    if (!loop) return false;
    for_each_flat<2>({&out, &x}, 0, [&](const auto& data, uint32_t, int64_t count) {
      loop(as<T>(data[1]), as<T>(data[0]), count, static_cast<T>(param));
    });
    return true;
  });
  if (done) return;
  by_parts(
      out, [&](Tensor& to, const Tensor& from) { ref::unary(op, from, to, param); }, x);
}

void binary(BinaryOp op, const Tensor& a, const Tensor& b, Tensor& out, double param) {
  const bool done = by_vectors(a, [&]<class T>(T) {
    const BinaryLoops<T> loops(op, out);
    if (!loops) return false;
    constexpr uint32_t either_input = 0b110;
    for_each_flat<3>({&out, &a, &b}, either_input, [&](const auto& data, uint32_t scalars, int64_t count) {
      loops(form_of(scalars), as<T>(data[1]), as<T>(data[2]), data[0], count, param);
    });
    return true;
  });
  if (done) return;
  by_parts(
      out, [&](Tensor& to, const Tensor& left, const Tensor& right) { ref::binary(op, left, right, to, param); }, a, b);
}

// A tensor meets the scalar rounded to the type that it is computed in, in arithmetic and in comparisons.
void binary_scalar(BinaryOp op, const Tensor& a, double b, Tensor& out) {
  const bool done = by_vectors(a, [&]<class T>(T) {
    const BinaryLoops<T> loops(op, out);
    if (!loops) return false;
    const T scalar = static_cast<T>(b);
    for_each_flat<2>({&out, &a}, 0, [&](const auto& data, uint32_t, int64_t count) {
      loops(Form::left, as<T>(data[1]), &scalar, data[0], count, 0);
    });
    return true;
  });
  if (done) return;
  by_parts(
      out, [&](Tensor& to, const Tensor& left) { ref::binary_scalar(op, left, b, to); }, a);
}

void scalar_binary(BinaryOp op, double a, const Tensor& b, Tensor& out) {
  const bool done = by_vectors(b, [&]<class T>(T) {
    const BinaryLoops<T> loops(op, out);
    if (!loops) return false;
    const T scalar = static_cast<T>(a);
    for_each_flat<2>({&out, &b}, 0, [&](const auto& data, uint32_t, int64_t count) {
      loops(Form::right, &scalar, as<T>(data[1]), data[0], count, 0);
    });
    return true;
  });
  if (done) return;
  by_parts(
      out, [&](Tensor& to, const Tensor& right) { ref::scalar_binary(op, a, right, to); }, b);
}

void clamp(const Tensor& x, double low, double high, Tensor& out) {
  const bool done = by_vectors(x, [&]<class T>(T) {
    for_each_flat<2>({&out, &x}, 0, [&](const auto& data, uint32_t, int64_t count) {
      typed_kernels<T>().clamp(as<T>(data[1]), static_cast<T>(low), static_cast<T>(high), as<T>(data[0]), count);
    });
    return true;
  });
  if (done) return;
  by_parts(
      out, [&](Tensor& to, const Tensor& from) { ref::clamp(from, low, high, to); }, x);
}

void clamp_grad(const Tensor& gy, const Tensor& x, double low, double high, Tensor& gx) {
  by_vectors(x, [&]<class T>(T) {
    for_each_flat<3>({&gx, &gy, &x}, 0, [&](const auto& data, uint32_t, int64_t count) {
      typed_kernels<T>().clamp_grad(as<T>(data[1]), as<T>(data[2]), static_cast<T>(low), static_cast<T>(high),
                                    as<T>(data[0]), count);
    });
    return true;
  });
}

void where(const Tensor& condition, const Tensor& a, const Tensor& b, Tensor& out) {
  const bool done = by_vectors(out, [&]<class T>(T) {
    for_each_flat<4>({&out, &condition, &a, &b}, 0, [&](const auto& data, uint32_t, int64_t count) {
      typed_kernels<T>().where(reinterpret_cast<const bool*>(data[1]), as<T>(data[2]), as<T>(data[3]), as<T>(data[0]),
                               count);
    });
    return true;
  });
  if (done) return;
  by_parts(
      out,
      [](Tensor& to, const Tensor& choose, const Tensor& left, const Tensor& right) {
        ref::where(choose, left, right, to);
      },
      condition, a, b);
}

void axpby(double alpha, const Tensor& x, double beta, Tensor& y) {
  const bool done = by_vectors(y, [&]<class T>(T) {
    const T a = static_cast<T>(alpha), b = static_cast<T>(beta);
    if (beta == 0) {
      for_each_flat<2>({&y, &x}, 0, [&](const auto& data, uint32_t, int64_t count) {
        typed_kernels<T>().scale(a, as<T>(data[1]), as<T>(data[0]), count);
      });
      return true;
    }
    // y is an input too, so that it passes through a buffer where its strides ask for one
    for_each_flat<3>({&y, &x, &y}, 0, [&](const auto& data, uint32_t, int64_t count) {
      if (data[0] != data[2]) std::copy_n(as<T>(data[2]), count, as<T>(data[0]));
      typed_kernels<T>().axpby(a, as<T>(data[1]), b, as<T>(data[0]), count);
    });
    return true;
  });
  if (done) return;
  by_parts(
      y, [&](Tensor& to, const Tensor& from) { ref::axpby(alpha, from, beta, to); }, x);
}

void fill(double value, Tensor& out) {
  const bool done = by_vectors(out, [&]<class T>(T) {
    for_each_flat<1>({&out}, 0, [&](const auto& data, uint32_t, int64_t count) {
      typed_kernels<T>().fill(static_cast<T>(value), as<T>(data[0]), count);
    });
    return true;
  });
  if (!done) by_parts(out, [&](Tensor& to) { ref::fill(value, to); });
}

}  // namespace gradus::kernels
