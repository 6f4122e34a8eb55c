// Elementwise loops over flat arrays.
#include <type_traits>

#include "core/cpu/vector/kernels.h"
#include "core/cpu/vector/math.h"

namespace gradus::cpu::vector::GRADUS_ISA {

namespace {

// ---- Loops ---------------------------------------------------------------------------------------------------------
// `omp simd` promises that no element depends on another, which holds when arrays are equal or disjoint.

template <class F, class T>
void map(const T* x, T* out, int64_t n, T param) {
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

template <class F, class T, class Out>
void zip(const T* a, const T* b, Out* out, int64_t n, T param) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) out[i] = F::of(a[i], b[i], param);
}
template <class F, class T, class Out>
void zip_left(const T* a, const T* b, Out* out, int64_t n, T param) {
  const T right = *b;
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) out[i] = F::of(a[i], right, param);
}
template <class F, class T, class Out>
void zip_right(const T* a, const T* b, Out* out, int64_t n, T param) {
  const T left = *a;
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) out[i] = F::of(left, b[i], param);
}

// ---- Functions -----------------------------------------------------------------------------------------------------

// clang-format off
#define GRADUS_UNARY(Name, expression) \
  template <class T> struct Name { static T of(T x, [[maybe_unused]] T param) { return expression; } };
#define GRADUS_BINARY(Name, Result, expression) \
  template <class T> struct Name { static Result of(T a, T b, [[maybe_unused]] T param) { return expression; } };

GRADUS_UNARY(Neg, -x)
GRADUS_UNARY(Abs, absolute(x))
GRADUS_UNARY(Sign, x > 0 ? T(1) : (x < 0 ? T(-1) : x))
GRADUS_UNARY(Exp, exp(x))
GRADUS_UNARY(Log, log(x))
GRADUS_UNARY(Sqrt, sqrt(x))
GRADUS_UNARY(Rsqrt, 1 / sqrt(x))
GRADUS_UNARY(Reciprocal, 1 / x)
GRADUS_UNARY(Square, x * x)
GRADUS_UNARY(Erf, erf(x))
GRADUS_UNARY(Tanh, tanh(x))
GRADUS_UNARY(Sigmoid, sigmoid(x))
GRADUS_UNARY(Softplus, softplus(x))
GRADUS_UNARY(Relu, x < 0 ? T(0) : x)  // keeps NaN
GRADUS_UNARY(LeakyRelu, x > 0 ? x : param * x)
GRADUS_UNARY(Gelu, gelu(x))
GRADUS_UNARY(Silu, x * sigmoid(x))

GRADUS_BINARY(Add, T, a + b)
GRADUS_BINARY(Sub, T, a - b)
GRADUS_BINARY(Mul, T, a * b)
GRADUS_BINARY(Div, T, a / b)
GRADUS_BINARY(Maximum, T, ((a != a) | (a > b)) ? a : b)  // NaN wins
GRADUS_BINARY(Minimum, T, ((a != a) | (a < b)) ? a : b)
GRADUS_BINARY(ReluGrad, T, b > 0 ? a : T(0))
GRADUS_BINARY(TanhGrad, T, a * (1 - b * b))
GRADUS_BINARY(SigmoidGrad, T, a * b * (1 - b))
GRADUS_BINARY(LeakyReluGrad, T, b > 0 ? a : param * a)
GRADUS_BINARY(SoftplusGrad, T, a * sigmoid(b))
GRADUS_BINARY(GeluGrad, T, a * gelu_slope(b))
GRADUS_BINARY(SiluGrad, T, a * (sigmoid(b) + b * sigmoid(b) * sigmoid(-b)))
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
void pow_both(const float* a, const float* b, float* out, int64_t n, float) {
  for (int64_t i = 0; i < n; ++i) out[i] = __builtin_powf(a[i], b[i]);
}
void pow_left(const float* a, const float* b, float* out, int64_t n, float) {
  const float exponent = *b;
  if (exponent == 2.0f) return map<Square<float>>(a, out, n, 0.0f);
  if (exponent == 3.0f) return map<Cube>(a, out, n, 0.0f);
  if (exponent == 0.5f) return map<RootPower>(a, out, n, 0.0f);
  if (exponent == -1.0f) return map<Reciprocal<float>>(a, out, n, 0.0f);
  for (int64_t i = 0; i < n; ++i) out[i] = __builtin_powf(a[i], exponent);
}
void pow_right(const float* a, const float* b, float* out, int64_t n, float) {
  const float base = *a;
  for (int64_t i = 0; i < n; ++i) out[i] = __builtin_powf(base, b[i]);
}

template <class F, class T>
void compare(const T* a, const T* b, bool* out, int64_t n) {
  zip<F>(a, b, out, n, T(0));
}
template <class F, class T>
void compare_left(const T* a, const T* b, bool* out, int64_t n) {
  zip_left<F>(a, b, out, n, T(0));
}
template <class F, class T>
void compare_right(const T* a, const T* b, bool* out, int64_t n) {
  zip_right<F>(a, b, out, n, T(0));
}

template <class T>
void clamp(const T* x, T low, T high, T* out, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    const T raised = choose((x[i] != x[i]) | (x[i] > low), x[i], low);  // Maximum, and then Minimum
    out[i] = choose((raised != raised) | (raised < high), raised, high);
  }
}

template <class T>
void clamp_grad(const T* gy, const T* x, T low, T high, T* gx, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) gx[i] = ((x[i] < low) | (x[i] > high)) ? T(0) : gy[i];
}

template <class T>
void where(const bool* condition, const T* a, const T* b, T* out, int64_t n) {
  const auto* chosen = reinterpret_cast<const uint8_t*>(condition);  // g++ makes no vectors of bool
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) out[i] = choose(chosen[i] != 0, a[i], b[i]);
}

template <class T>
void axpby(T alpha, const T* x, T beta, T* y, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) y[i] = multiply_add(alpha, x[i], beta * y[i]);
}

template <class T>
void scale(T alpha, const T* x, T* y, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) y[i] = alpha * x[i];
}

template <class T>
void fill(T value, T* out, int64_t n) {
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

/// What T has: the functions of math.h, and so most operations, know floats alone.
template <class T>
void add_loops(Elementwise<T>& table) {
  const auto set = [&](UnaryOp op, typename Elementwise<T>::Unary f) { table.unary[static_cast<int>(op)] = f; };
  set(UnaryOp::neg, map<Neg<T>>);
  set(UnaryOp::abs, map<Abs<T>>);
  set(UnaryOp::sign, map<Sign<T>>);
  set(UnaryOp::sqrt, map<Sqrt<T>>);
  set(UnaryOp::rsqrt, map<Rsqrt<T>>);
  set(UnaryOp::reciprocal, map<Reciprocal<T>>);
  set(UnaryOp::square, map<Square<T>>);
  set(UnaryOp::relu, map<Relu<T>>);
  set(UnaryOp::leaky_relu, map<LeakyRelu<T>>);

  const auto set_binary = [&]<class F>(BinaryOp op, F) {
    typename Elementwise<T>::Binary* forms = table.binary[static_cast<int>(op)];
    forms[static_cast<int>(Form::both)] = zip<F>;
    forms[static_cast<int>(Form::left)] = zip_left<F>;
    forms[static_cast<int>(Form::right)] = zip_right<F>;
  };
  set_binary(BinaryOp::add, Add<T>());
  set_binary(BinaryOp::sub, Sub<T>());
  set_binary(BinaryOp::mul, Mul<T>());
  set_binary(BinaryOp::div, Div<T>());
  set_binary(BinaryOp::maximum, Maximum<T>());
  set_binary(BinaryOp::minimum, Minimum<T>());
  set_binary(BinaryOp::relu_grad, ReluGrad<T>());
  set_binary(BinaryOp::tanh_grad, TanhGrad<T>());
  set_binary(BinaryOp::sigmoid_grad, SigmoidGrad<T>());
  set_binary(BinaryOp::leaky_relu_grad, LeakyReluGrad<T>());

  const auto set_compare = [&]<class F>(BinaryOp op, F) {
    typename Elementwise<T>::Compare* forms = table.compare[static_cast<int>(op)];
    forms[static_cast<int>(Form::both)] = compare<F>;
    forms[static_cast<int>(Form::left)] = compare_left<F>;
    forms[static_cast<int>(Form::right)] = compare_right<F>;
  };
  set_compare(BinaryOp::eq, Eq<T>());
  set_compare(BinaryOp::ne, Ne<T>());
  set_compare(BinaryOp::lt, Lt<T>());
  set_compare(BinaryOp::le, Le<T>());
  set_compare(BinaryOp::gt, Gt<T>());
  set_compare(BinaryOp::ge, Ge<T>());

  table.clamp = clamp;
  table.clamp_grad = clamp_grad;
  table.where = where;
  table.axpby = axpby;
  table.scale = scale;
  table.fill = fill;

  if constexpr (std::is_same_v<T, float>) {
    set(UnaryOp::exp, map<Exp<T>>);
    set(UnaryOp::log, map<Log<T>>);
    set(UnaryOp::sin, map_turned<Sin>);
    set(UnaryOp::cos, map_turned<Cos>);
    set(UnaryOp::erf, map<Erf<T>>);
    set(UnaryOp::tanh, map<Tanh<T>>);
    set(UnaryOp::sigmoid, map<Sigmoid<T>>);
    set(UnaryOp::softplus, map<Softplus<T>>);
    set(UnaryOp::gelu, map<Gelu<T>>);
    set(UnaryOp::silu, map<Silu<T>>);
    set_binary(BinaryOp::gelu_grad, GeluGrad<T>());
    set_binary(BinaryOp::softplus_grad, SoftplusGrad<T>());
    set_binary(BinaryOp::silu_grad, SiluGrad<T>());
    typename Elementwise<T>::Binary* pow = table.binary[static_cast<int>(BinaryOp::pow)];
    pow[static_cast<int>(Form::both)] = pow_both;
    pow[static_cast<int>(Form::left)] = pow_left;
    pow[static_cast<int>(Form::right)] = pow_right;
  }
}

}  // namespace

void add_elementwise(Kernels& table) {
  add_loops<float>(table);
  add_loops<double>(table.doubles);
  table.from_bytes = from_bytes;
  table.widen = widen;
  table.narrow = narrow;
}

}  // namespace gradus::cpu::vector::GRADUS_ISA
