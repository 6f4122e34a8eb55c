// Elementwise kernels in float32, and of bfloat16: every tensor as flat arrays, and the vector loop for the operation.
// Other dtypes take the reference's loops, on several threads.
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

float* floats(char* data) { return reinterpret_cast<float*>(data); }

/// The form of a call from the scalar mask over (out, a, b).
Form form_of(uint32_t scalars) { return scalars == 0 ? Form::both : scalars == 4 ? Form::left : Form::right; }

/// The loops of one operation with these dtypes; neither where there is none.
struct BinaryLoops {
  BinaryLoops(BinaryOp op, const Tensor& in, const Tensor& out) {
    if (!in_floats(in)) return;
    const auto& table = cpu::vector::kernels();
    if (in_floats(out)) arithmetic = table.binary[static_cast<int>(op)];
    if (out.dtype() == DType::boolean) comparison = table.compare[static_cast<int>(op)];
  }
  explicit operator bool() const { return (arithmetic && arithmetic[0]) || (comparison && comparison[0]); }
  void operator()(Form form, const float* a, const float* b, char* out, int64_t count, float param) const {
    if (arithmetic) {
      arithmetic[static_cast<int>(form)](a, b, floats(out), count, param);
    } else {
      comparison[static_cast<int>(form)](a, b, reinterpret_cast<bool*>(out), count);
    }
  }
  const cpu::vector::Kernels::Binary* arithmetic = nullptr;
  const cpu::vector::Kernels::Compare* comparison = nullptr;
};

}  // namespace

void unary(UnaryOp op, const Tensor& x, Tensor& out, double param) {
  const auto loop = cpu::vector::kernels().unary[static_cast<int>(op)];
  if (!in_floats(x) || !in_floats(out) || !loop) {
    return by_parts(
        out, [&](Tensor& to, const Tensor& from) { ref::unary(op, from, to, param); }, x);
  }
  for_each_flat<2>({&out, &x}, 0, [&](const auto& data, uint32_t, int64_t count) {
    loop(floats(data[1]), floats(data[0]), count, static_cast<float>(param));
  });
}

void binary(BinaryOp op, const Tensor& a, const Tensor& b, Tensor& out, double param) {
  const BinaryLoops loops(op, a, out);
  if (!loops) {
    return by_parts(
        out, [&](Tensor& to, const Tensor& left, const Tensor& right) { ref::binary(op, left, right, to, param); }, a,
        b);
  }
  constexpr uint32_t either_input = 0b110;
  for_each_flat<3>({&out, &a, &b}, either_input, [&](const auto& data, uint32_t scalars, int64_t count) {
    loops(form_of(scalars), floats(data[1]), floats(data[2]), data[0], count, static_cast<float>(param));
  });
}

// A float32 tensor meets the scalar rounded to float32, in arithmetic and in comparisons.
void binary_scalar(BinaryOp op, const Tensor& a, double b, Tensor& out) {
  const BinaryLoops loops(op, a, out);
  if (!loops)
    return by_parts(
        out, [&](Tensor& to, const Tensor& left) { ref::binary_scalar(op, left, b, to); }, a);
  const float scalar = static_cast<float>(b);
  for_each_flat<2>({&out, &a}, 0, [&](const auto& data, uint32_t, int64_t count) {
    loops(Form::left, floats(data[1]), &scalar, data[0], count, 0);
  });
}

void scalar_binary(BinaryOp op, double a, const Tensor& b, Tensor& out) {
  const BinaryLoops loops(op, b, out);
  if (!loops)
    return by_parts(
        out, [&](Tensor& to, const Tensor& right) { ref::scalar_binary(op, a, right, to); }, b);
  const float scalar = static_cast<float>(a);
  for_each_flat<2>({&out, &b}, 0, [&](const auto& data, uint32_t, int64_t count) {
    loops(Form::right, &scalar, floats(data[1]), data[0], count, 0);
  });
}

void clamp(const Tensor& x, double low, double high, Tensor& out) {
  if (!in_floats(x))
    return by_parts(
        out, [&](Tensor& to, const Tensor& from) { ref::clamp(from, low, high, to); }, x);
  for_each_flat<2>({&out, &x}, 0, [&](const auto& data, uint32_t, int64_t count) {
    cpu::vector::kernels().clamp(floats(data[1]), static_cast<float>(low), static_cast<float>(high), floats(data[0]),
                                 count);
  });
}

void clamp_grad(const Tensor& gy, const Tensor& x, double low, double high, Tensor& gx) {
  if (!in_floats(x)) {
    return by_parts(
        gx, [&](Tensor& to, const Tensor& slope, const Tensor& at) { ref::clamp_grad(slope, at, low, high, to); }, gy,
        x);
  }
  for_each_flat<3>({&gx, &gy, &x}, 0, [&](const auto& data, uint32_t, int64_t count) {
    cpu::vector::kernels().clamp_grad(floats(data[1]), floats(data[2]), static_cast<float>(low),
                                      static_cast<float>(high), floats(data[0]), count);
  });
}

void where(const Tensor& condition, const Tensor& a, const Tensor& b, Tensor& out) {
  if (!in_floats(out)) {
    return by_parts(
        out,
        [](Tensor& to, const Tensor& choose, const Tensor& left, const Tensor& right) {
          ref::where(choose, left, right, to);
        },
        condition, a, b);
  }
  for_each_flat<4>({&out, &condition, &a, &b}, 0, [&](const auto& data, uint32_t, int64_t count) {
    cpu::vector::kernels().where(reinterpret_cast<const bool*>(data[1]), floats(data[2]), floats(data[3]),
                                 floats(data[0]), count);
  });
}

void axpby(double alpha, const Tensor& x, double beta, Tensor& y) {
  if (!in_floats(x) || !in_floats(y)) {
    return by_parts(
        y, [&](Tensor& to, const Tensor& from) { ref::axpby(alpha, from, beta, to); }, x);
  }
  const auto& table = cpu::vector::kernels();
  const float a = static_cast<float>(alpha), b = static_cast<float>(beta);
  if (beta == 0) {
    for_each_flat<2>({&y, &x}, 0, [&](const auto& data, uint32_t, int64_t count) {
      table.scale(a, floats(data[1]), floats(data[0]), count);
    });
  } else {
    // y is an input too, so that it passes through a buffer where its strides ask for one
    for_each_flat<3>({&y, &x, &y}, 0, [&](const auto& data, uint32_t, int64_t count) {
      if (data[0] != data[2]) std::copy_n(floats(data[2]), count, floats(data[0]));
      table.axpby(a, floats(data[1]), b, floats(data[0]), count);
    });
  }
}

void fill(double value, Tensor& out) {
  if (!in_floats(out)) return by_parts(out, [&](Tensor& to) { ref::fill(value, to); });
  for_each_flat<1>({&out}, 0, [&](const auto& data, uint32_t, int64_t count) {
    cpu::vector::kernels().fill(static_cast<float>(value), floats(data[0]), count);
  });
}

}  // namespace gradus::kernels
