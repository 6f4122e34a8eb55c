// Elementwise loops over flat arrays.
#include "core/cpu/vector/kernels.h"
#include "core/cpu/vector/math.h"

namespace gradus::cpu::vector::GRADUS_ISA {

namespace {

// ---- Loops ---------------------------------------------------------------------------------------------------------
// `omp simd` promises that no element depends on another, which holds when arrays are equal or disjoint.

template <class F>
void map(const float* x, float* out, int64_t n, float param) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) out[i] = F::of(x[i], param);
}

/// For sine and cosine: the few elements that do not turn well are the C library's.
template <class F>
void map_turned(const float* x, float* out, int64_t n, float) {
  constexpr int64_t batch = 64;
  for (int64_t begin = 0; begin < n; begin += batch) {
    const int64_t count = n - begin < batch ? n - begin : batch;
    float results[batch];  // x may be out
    uint32_t unsure = 0;
#pragma omp simd reduction(| : unsure)
    for (int64_t i = 0; i < count; ++i) {
      results[i] = F::of(x[begin + i]);
      unsure |= turns_well(x[begin + i]) ? 0u : 1u;
    }
    if (unsure != 0) {
      for (int64_t i = 0; i < count; ++i)
        if (!turns_well(x[begin + i])) results[i] = F::from_library(x[begin + i]);
    }
    __builtin_memcpy(out + begin, results, static_cast<size_t>(count) * sizeof(float));
  }
}

template <class F, class Out>
void zip(const float* a, const float* b, Out* out, int64_t n, float param) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) out[i] = F::of(a[i], b[i], param);
}
template <class F, class Out>
void zip_left(const float* a, const float* b, Out* out, int64_t n, float param) {
  const float right = *b;
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) out[i] = F::of(a[i], right, param);
}
template <class F, class Out>
void zip_right(const float* a, const float* b, Out* out, int64_t n, float param) {
  const float left = *a;
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) out[i] = F::of(left, b[i], param);
}

// ---- Functions -----------------------------------------------------------------------------------------------------

// clang-format off
#define GRADUS_UNARY(Name, expression) \
  struct Name { static float of(float x, [[maybe_unused]] float param) { return expression; } };
#define GRADUS_BINARY(Name, Result, expression) \
  struct Name { static Result of(float a, float b, [[maybe_unused]] float param) { return expression; } };

GRADUS_UNARY(Neg, -x)
GRADUS_UNARY(Abs, absolute(x))
GRADUS_UNARY(Sign, x > 0.0f ? 1.0f : (x < 0.0f ? -1.0f : x))
GRADUS_UNARY(Exp, exp(x))
GRADUS_UNARY(Log, log(x))
GRADUS_UNARY(Sqrt, __builtin_sqrtf(x))
GRADUS_UNARY(Rsqrt, 1.0f / __builtin_sqrtf(x))
GRADUS_UNARY(Reciprocal, 1.0f / x)
GRADUS_UNARY(Square, x * x)
GRADUS_UNARY(Erf, erf(x))
GRADUS_UNARY(Tanh, tanh(x))
GRADUS_UNARY(Sigmoid, sigmoid(x))
GRADUS_UNARY(Softplus, softplus(x))
GRADUS_UNARY(Relu, x < 0.0f ? 0.0f : x)  // keeps NaN
GRADUS_UNARY(LeakyRelu, x > 0.0f ? x : param * x)
GRADUS_UNARY(Gelu, gelu(x))
GRADUS_UNARY(Silu, x * sigmoid(x))

GRADUS_BINARY(Add, float, a + b)
GRADUS_BINARY(Sub, float, a - b)
GRADUS_BINARY(Mul, float, a * b)
GRADUS_BINARY(Div, float, a / b)
GRADUS_BINARY(Pow, float, __builtin_powf(a, b))
GRADUS_BINARY(Maximum, float, ((a != a) | (a > b)) ? a : b)  // NaN wins
GRADUS_BINARY(Minimum, float, ((a != a) | (a < b)) ? a : b)
GRADUS_BINARY(ReluGrad, float, b > 0.0f ? a : 0.0f)
GRADUS_BINARY(TanhGrad, float, a * (1.0f - b * b))
GRADUS_BINARY(SigmoidGrad, float, a * b * (1.0f - b))
GRADUS_BINARY(LeakyReluGrad, float, b > 0.0f ? a : param * a)
GRADUS_BINARY(SoftplusGrad, float, a * sigmoid(b))
GRADUS_BINARY(GeluGrad, float, a * gelu_slope(b))
GRADUS_BINARY(SiluGrad, float, a * (sigmoid(b) + b * sigmoid(b) * sigmoid(-b)))
GRADUS_BINARY(Eq, bool, a == b)
GRADUS_BINARY(Ne, bool, a != b)
GRADUS_BINARY(Lt, bool, a < b)
GRADUS_BINARY(Le, bool, a <= b)
GRADUS_BINARY(Gt, bool, a > b)
GRADUS_BINARY(Ge, bool, a >= b)

#undef GRADUS_UNARY
#undef GRADUS_BINARY
// clang-format on

struct Sin {
  static float of(float x) { return sin(x); }
  static float from_library(float x) { return __builtin_sinf(x); }
};
struct Cos {
  static float of(float x) { return cos(x); }
  static float from_library(float x) { return __builtin_cosf(x); }
};

struct Cube {
  static float of(float x, float) {
    const double wide = x;
    return static_cast<float>(wide * wide * wide);  // as precise as the C library's
  }
};
/// What a square root makes of -0 and of -infinity, a power does not.
struct RootPower {
  static float of(float x, float) { return x == -__builtin_inff() ? -x : __builtin_sqrtf(x + 0.0f); }
};

// pow is the C library's, but for exponents that models use.
void pow_both(const float* a, const float* b, float* out, int64_t n, float param) {
  for (int64_t i = 0; i < n; ++i) out[i] = Pow::of(a[i], b[i], param);
}
void pow_left(const float* a, const float* b, float* out, int64_t n, float param) {
  const float exponent = *b;
  if (exponent == 2.0f) return map<Square>(a, out, n, 0);
  if (exponent == 3.0f) return map<Cube>(a, out, n, 0);
  if (exponent == 0.5f) return map<RootPower>(a, out, n, 0);
  if (exponent == -1.0f) return map<Reciprocal>(a, out, n, 0);
  for (int64_t i = 0; i < n; ++i) out[i] = Pow::of(a[i], exponent, param);
}
void pow_right(const float* a, const float* b, float* out, int64_t n, float param) {
  const float base = *a;
  for (int64_t i = 0; i < n; ++i) out[i] = Pow::of(base, b[i], param);
}

template <class F>
void compare(const float* a, const float* b, bool* out, int64_t n) {
  zip<F>(a, b, out, n, 0);
}
template <class F>
void compare_left(const float* a, const float* b, bool* out, int64_t n) {
  zip_left<F>(a, b, out, n, 0);
}
template <class F>
void compare_right(const float* a, const float* b, bool* out, int64_t n) {
  zip_right<F>(a, b, out, n, 0);
}

void clamp(const float* x, float low, float high, float* out, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) out[i] = Minimum::of(Maximum::of(x[i], low, 0), high, 0);
}

void clamp_grad(const float* gy, const float* x, float low, float high, float* gx, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) gx[i] = ((x[i] < low) | (x[i] > high)) ? 0.0f : gy[i];
}

void where(const bool* condition, const float* a, const float* b, float* out, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    const uint32_t mask = 0u - static_cast<uint32_t>(condition[i]);
    out[i] = from_bits((bits(a[i]) & mask) | (bits(b[i]) & ~mask));
  }
}

void axpby(float alpha, const float* x, float beta, float* y, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) y[i] = multiply_add(alpha, x[i], beta * y[i]);
}

void scale(float alpha, const float* x, float* y, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) y[i] = alpha * x[i];
}

void fill(float value, float* out, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) out[i] = value;
}

void from_bytes(const uint8_t* x, float* out, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) out[i] = static_cast<float>(x[i]);
}

void widen(const bfloat16* x, float* out, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) out[i] = from_bits(static_cast<uint32_t>(x[i].bits) << 16);
}

void narrow(const float* x, bfloat16* out, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    const uint32_t u = bits(x[i]);
    const uint32_t rounded = (u + 0x7fffu + (u >> 16 & 1u)) >> 16, quiet = u >> 16 | 0x40u;
    out[i].bits = static_cast<uint16_t>(x[i] != x[i] ? quiet : rounded);
  }
}

}  // namespace

void add_elementwise(Kernels& table) {
  const auto set = [&](UnaryOp op, Kernels::Unary f) { table.unary[static_cast<int>(op)] = f; };
  set(UnaryOp::neg, map<Neg>);
  set(UnaryOp::abs, map<Abs>);
  set(UnaryOp::sign, map<Sign>);
  set(UnaryOp::exp, map<Exp>);
  set(UnaryOp::log, map<Log>);
  set(UnaryOp::sqrt, map<Sqrt>);
  set(UnaryOp::rsqrt, map<Rsqrt>);
  set(UnaryOp::reciprocal, map<Reciprocal>);
  set(UnaryOp::square, map<Square>);
  set(UnaryOp::sin, map_turned<Sin>);
  set(UnaryOp::cos, map_turned<Cos>);
  set(UnaryOp::erf, map<Erf>);
  set(UnaryOp::tanh, map<Tanh>);
  set(UnaryOp::sigmoid, map<Sigmoid>);
  set(UnaryOp::softplus, map<Softplus>);
  set(UnaryOp::relu, map<Relu>);
  set(UnaryOp::leaky_relu, map<LeakyRelu>);
  set(UnaryOp::gelu, map<Gelu>);
  set(UnaryOp::silu, map<Silu>);

  const auto set_binary = [&]<class F>(BinaryOp op, F) {
    Kernels::Binary* forms = table.binary[static_cast<int>(op)];
    forms[static_cast<int>(Form::both)] = zip<F, float>;
    forms[static_cast<int>(Form::left)] = zip_left<F, float>;
    forms[static_cast<int>(Form::right)] = zip_right<F, float>;
  };
  set_binary(BinaryOp::add, Add());
  set_binary(BinaryOp::sub, Sub());
  set_binary(BinaryOp::mul, Mul());
  set_binary(BinaryOp::div, Div());
  set_binary(BinaryOp::maximum, Maximum());
  set_binary(BinaryOp::minimum, Minimum());
  set_binary(BinaryOp::relu_grad, ReluGrad());
  set_binary(BinaryOp::tanh_grad, TanhGrad());
  set_binary(BinaryOp::sigmoid_grad, SigmoidGrad());
  set_binary(BinaryOp::leaky_relu_grad, LeakyReluGrad());
  set_binary(BinaryOp::gelu_grad, GeluGrad());
  set_binary(BinaryOp::softplus_grad, SoftplusGrad());
  set_binary(BinaryOp::silu_grad, SiluGrad());
  Kernels::Binary* pow = table.binary[static_cast<int>(BinaryOp::pow)];
  pow[static_cast<int>(Form::both)] = pow_both;
  pow[static_cast<int>(Form::left)] = pow_left;
  pow[static_cast<int>(Form::right)] = pow_right;

  const auto set_compare = [&]<class F>(BinaryOp op, F) {
    Kernels::Compare* forms = table.compare[static_cast<int>(op)];
    forms[static_cast<int>(Form::both)] = compare<F>;
    forms[static_cast<int>(Form::left)] = compare_left<F>;
    forms[static_cast<int>(Form::right)] = compare_right<F>;
  };
  set_compare(BinaryOp::eq, Eq());
  set_compare(BinaryOp::ne, Ne());
  set_compare(BinaryOp::lt, Lt());
  set_compare(BinaryOp::le, Le());
  set_compare(BinaryOp::gt, Gt());
  set_compare(BinaryOp::ge, Ge());

  table.clamp = clamp;
  table.clamp_grad = clamp_grad;
  table.where = where;
  table.axpby = axpby;
  table.scale = scale;
  table.fill = fill;
  table.from_bytes = from_bytes;
  table.widen = widen;
  table.narrow = narrow;
}

}  // namespace gradus::cpu::vector::GRADUS_ISA
