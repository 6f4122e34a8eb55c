// Functions of one float, without branches, so that the compiler vectorizes the loops that call them:
// the same operations for every element, hence the same bits wherever an element lies. Each names its largest error,
// found by tests/core/cpu_math_test.cpp. Coefficients are minimax fits made for these intervals, weighted for relative
// error. Included by the files of this directory only, which are compiled once for each instruction set.
#pragma once

#include <cstdint>

namespace gradus::cpu::vector::GRADUS_ISA {

#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
#define GRADUS_HAS_FMA 1
#else
#define GRADUS_HAS_FMA 0
#endif

/// a * b + c; rounded once where the processor can.
static inline float multiply_add(float a, float b, float c) {
#if GRADUS_HAS_FMA
  return __builtin_fmaf(a, b, c);
#else
  return a * b + c;
#endif
}
static inline double multiply_add(double a, double b, double c) {
#if GRADUS_HAS_FMA
  return __builtin_fma(a, b, c);
#else
  return a * b + c;
#endif
}

/// a * b + c where they nearly cancel: the product's rounding error counts, even where nothing is fused.
static inline float product_sum(float a, float b, float c) {
#if GRADUS_HAS_FMA
  return __builtin_fmaf(a, b, c);
#else
  const double product = static_cast<double>(a) * b;  // exact
  return static_cast<float>(product + c);
#endif
}

/// c0 + c1 x + c2 x^2 + ..., as two polynomials in x^2, which do not wait for each other.
template <class T, class... Coefficients>
static inline T polynomial(T x, Coefficients... coefficients) {
  const T c[] = {static_cast<T>(coefficients)...};
  constexpr int last = static_cast<int>(sizeof...(coefficients)) - 1;
  const T square = x * x;
  T a = c[last], b = c[last - 1];
#pragma GCC unroll 16
  for (int k = last - 2; k >= 0; k -= 2) a = multiply_add(square, a, c[k]);
#pragma GCC unroll 16
  for (int k = last - 3; k >= 0; k -= 2) b = multiply_add(square, b, c[k]);
  return last % 2 == 0 ? multiply_add(x, b, a) : multiply_add(x, a, b);
}

static inline float sqrt(float x) { return __builtin_sqrtf(x); }
static inline double sqrt(double x) { return __builtin_sqrt(x); }

static inline uint64_t bits(double x) { return __builtin_bit_cast(uint64_t, x); }
static inline double from_bits(uint64_t u) { return __builtin_bit_cast(double, u); }
static inline double absolute(double x) { return __builtin_fabs(x); }
static inline uint32_t bits(float x) { return __builtin_bit_cast(uint32_t, x); }
static inline float from_bits(uint32_t u) { return __builtin_bit_cast(float, u); }
static inline float absolute(float x) { return from_bits(bits(x) & 0x7fffffffu); }
static inline float with_sign(float magnitude, float sign) {
  return from_bits((bits(magnitude) & 0x7fffffffu) | (bits(sign) & 0x80000000u));
}

/// condition ? a : b without a condition: from those compilers make separate paths, which keep loops from vectors, or
/// which a vector takes all.
template <class T>
static inline T choose(bool condition, T a, T b) {
  const auto mask = -static_cast<decltype(bits(a))>(condition);
  return from_bits((bits(a) & mask) | (bits(b) & ~mask));
}
/// NaN stays.
static inline float at_most(float x, float limit) { return choose(x > limit, limit, x); }
static inline float at_least(float x, float limit) { return choose(x < limit, limit, x); }

/// ln 2 in two parts; the first has 9 bits, so that its product with an exponent is exact.
static constexpr float ln2_high = 0x1.63p-1f, ln2_low = -0x1.bd0106p-13f;

/// x = n ln 2 + r, n the nearest integer.
struct Reduced {
  float r;
  int32_t n;
};
static inline Reduced reduced(float x) {
  // Adding 1.5 * 2^23 rounds to an integer, which the low bits then hold.
  constexpr float shift = 0x1.8p23f;
  const float shifted = x * 0x1.715476p0f + shift, whole = shifted - shift;
  return {multiply_add(whole, -ln2_low, multiply_add(whole, -ln2_high, x)),
          static_cast<int32_t>(bits(shifted)) - static_cast<int32_t>(0x4b400000)};
}
/// e^r - 1 for |r| <= ln(2) / 2.
static inline float growth(float r) {
  const float p = polynomial(r, 0.5f, 0x1.555554p-3f, 0x1.5554e8p-5f, 0x1.11131p-7f, 0x1.6d4ccap-10f, 0x1.9df77cp-13f);
  return multiply_add(r * r, p, r);
}
/// e^x, 1 ulp; denormal results too.
static inline float exp(float x) {
  const Reduced at = reduced(at_least(at_most(x, 89.0f), -104.0f));
  // 2^n in two factors: either alone stays in range.
  const int32_t half = at.n >> 1;
  return (growth(at.r) + 1.0f) * from_bits(static_cast<uint32_t>(half + 127) << 23) *
         from_bits(static_cast<uint32_t>(at.n - half + 127) << 23);
}

/// The integer n nearest to x / ln 2 for x in [-104.2, 0], and 2^n, where n is -150 as 0.
struct Halvings {
  float n, power;
};
static inline Halvings halvings(float x) {
  // As in reduced(); with 191 more, the lowest bits in the place of an exponent are 2^(n + 64), which is normal.
  constexpr float shift = 0x1.8p23f + 191.0f;
  const float shifted = multiply_add(x, 0x1.715476p0f, shift);
  return {shifted - shift, from_bits(bits(shifted) << 23) * 0x1p-64f};
}
/// e^x for x <= 0, and whatever for x > 0.
static inline float exp_of_negative(float x) {
  x = at_least(x, -104.0f);
  const Halvings h = halvings(x);
  return multiply_add(h.power, growth(multiply_add(h.n, -ln2_low, multiply_add(h.n, -ln2_high, x))), h.power);
}

/// e^x in float64 for x <= 0, to 1e-14 of it: its Taylor polynomial of degree 11 for |r| <= ln(2) / 2. Below -700 it
/// stays where it is, 1e-304.
static inline double exp_of_negative(double x) {
  x = x < -700.0 ? -700.0 : x;
  constexpr double shift = 0x1.8p52;
  const double shifted = x * 0x1.71547652b82fep0 + shift, whole = shifted - shift;
  const double r = (x - whole * 0x1.62e42fefap-1) - whole * 0x1.cf79abc9e3b39p-40;  // the first product is exact
  const double p = polynomial(r, 1.0, 1.0, 0.5, 1.0 / 6, 1.0 / 24, 1.0 / 120, 1.0 / 720, 1.0 / 5040, 1.0 / 40320,
                              1.0 / 362880, 1.0 / 3628800, 1.0 / 39916800);
  const uint64_t n = __builtin_bit_cast(uint64_t, shifted) - __builtin_bit_cast(uint64_t, shift);
  return p * __builtin_bit_cast(double, (n + 1023) << 52);
}

/// Natural logarithm, 1 ulp; -inf at 0, NaN below.
static inline float log(float x) {
  const bool denormal = x < 0x1p-126f;
  const float scaled = denormal ? x * 0x1p23f : x;
  // x = 2^e m with m in [sqrt 1/2, sqrt 2)
  const int32_t e = static_cast<int32_t>(bits(scaled) - 0x3f3504f3u) >> 23;
  const float f = from_bits(bits(scaled) - (static_cast<uint32_t>(e) << 23)) - 1.0f;
  const float exponent = static_cast<float>(e) - (denormal ? 23.0f : 0.0f);
  const float p = polynomial(f, 0x1.555548p-2f, -0x1.000006p-2f, 0x1.99a476p-3f, -0x1.555c44p-3f, 0x1.233ba2p-3f,
                             -0x1.fc28cap-4f, 0x1.e6c00ap-4f, -0x1.de01dap-4f, 0x1.147338p-4f);
  const float square = f * f;
  const float tail = multiply_add(exponent, ln2_low, multiply_add(square * f, p, -0.5f * square));
  float result = multiply_add(exponent, ln2_high, f + tail);
  result = x == __builtin_inff() ? x : result;
  result = x == 0.0f ? -__builtin_inff() : result;
  return x >= 0.0f ? result : __builtin_nanf("");
}

/// x = n pi / 2 + r + rest, with n the nearest integer and `rest` what rounding left out of r.
struct Turned {
  float r, rest;
  uint32_t quadrant;  ///< its two lowest bits are those of n
};
static inline Turned turned(float x) {
  constexpr float shift = 0x1.8p23f;
  const float shifted = x * 0x1.45f306p-1f + shift, n = shifted - shift;
  // Parts of 11 bits, so that their products with n are exact, as the first two differences are.
  const float near = multiply_add(n, -0x1.fb4p-12f, multiply_add(n, -0x1.92p0f, x)), part = n * 0x1.444p-24f;
  const float r = near - part;
  return {r, (near - r) - part - n * 0x1.68c234p-39f, bits(shifted)};
}
/// Whether turned(x) leaves enough digits: n has 13 bits, and x is not close to a multiple of pi / 2 other than 0.
static inline bool turns_well(float x) {
  const int fits = absolute(x) <= 12000.0f, clear = absolute(turned(x).r) >= 0x1p-12f, unturned = absolute(x) < 0.75f;
  return (fits & (clear | unturned)) != 0;  // without branches, which would keep loops from vectors
}

/// Sine or, with the quadrant one further, cosine, 1 ulp where turns_well().
static inline float sine(const Turned& t) {
  const float s = t.r * t.r, half = 0.5f * s, high = 1.0f - half;
  const float p = polynomial(s, -0x1.555546p-3f, 0x1.11073cp-7f, -0x1.9943f4p-13f);
  const float q = polynomial(s, 0x1.55554ap-5f, -0x1.6c0c54p-10f, 0x1.99f406p-16f);
  const float along = t.r + multiply_add(t.r * s, p, t.rest * high);
  const float across = high + (((1.0f - high) - half) + multiply_add(s * s, q, -t.r * t.rest));
  const float value = (t.quadrant & 1u) != 0 ? across : along;
  return from_bits(bits(value) ^ ((t.quadrant & 2u) << 30));
}
static inline float sin(float x) { return x == 0.0f ? x : sine(turned(x)); }
static inline float cos(float x) {
  Turned t = turned(x);
  ++t.quadrant;
  return sine(t);
}

/// log(1 + u) for u in [0, 1], 2 ulp: 2 atanh(u / (2 + u)).
static inline float log1p_of_unit(float u) {
  const float s = u / (2.0f + u), s2 = s * s;
  const float p = polynomial(s2, 0x1.555558p-2f, 0x1.9996d8p-3f, 0x1.25051p-3f, 0x1.b72bb8p-4f, 0x1.f08af8p-4f);
  return 2.0f * multiply_add(s * s2, p, s);
}

/// 2 ulp.
static inline float tanh(float x) {
  const float a = absolute(x), x2 = x * x;
  const float p = polynomial(x2, -0x1.555532p-2f, 0x1.1106f6p-3f, -0x1.b835a4p-5f, 0x1.51f8cep-6f, -0x1.750ce4p-8f);
  const float small = multiply_add(x * x2, p, x);
  const float e = exp_of_negative(-2.0f * a), large = 1.0f - 2.0f * e / (1.0f + e);
  return a < 0.625f ? small : with_sign(large, x);
}

/// 1 / (1 + e^-x), 3 ulp; small values too.
static inline float sigmoid(float x) {
  const float e = exp_of_negative(-absolute(x));
  const float r = 1.0f / (1.0f + e);
  return x < 0.0f ? e * r : r;
}

/// log(1 + e^x), 3 ulp.
static inline float softplus(float x) {
  const float l = log1p_of_unit(exp_of_negative(-absolute(x)));
  return x > 0.0f ? x + l : l;
}

/// e^(x^2 / 2) times the standard normal distribution's tail beyond x, for x in [0, 15]: a quotient of polynomials,
/// none of whose coefficients is negative, so that nothing cancels. A common factor of all has the least rounding
/// errors.
static inline float scaled_tail(float x) {
#if GRADUS_HAS_FMA
  const float a = x;
#else
  const double a = x;  // two roundings for a product and a sum would be too many
#endif
  const auto quotient =
      polynomial(a, 0x1.828f5cp-1f, 0x1.523424p-1f, 0x1.1a5208p-2f, 0x1.f3d31cp-5f, 0x1.93ca60p-8f) /
      polynomial(a, 0x1.828f5cp+0f, 0x1.435128p+1f, 0x1.cfd16ap+0f, 0x1.69a00cp-1f, 0x1.393d38p-3f, 0x1.fa11fcp-7f);
  return static_cast<float>(quotient);
}

/// 2 ulp.
static inline float erf(float x) {
  const float a = absolute(x), x2 = x * x;
  const float p = polynomial(x2, 0x1.06eba8p-3f, -0x1.81273ep-2f, 0x1.ce2ce6p-4f, -0x1.b7f71ap-6f, 0x1.53f224p-8f,
                             -0x1.a3515ep-11f, 0x1.4771fcp-14f);
  const float small = multiply_add(x, p, x);
  const float large = 1.0f - 2.0f * scaled_tail(at_most(a, 10.0f) * 0x1.6a09e6p0f) * exp_of_negative(-x2);
  return a < 1.0f ? small : with_sign(large, x);
}

/// Parts of the standard normal distribution: its lower tail at -|x| is tail (1 + growth) power, its density the same
/// without the tail and over sqrt(2 pi).
struct Normal {
  float limited, tail, growth, power;
};
static inline Normal normal(float x) {
  const float limited = at_most(absolute(x), 14.43f);  // beyond, e^(-x^2 / 2) is 0 in float32
  const float half = -0.5f * limited;
  const Halvings h = halvings(half * limited);
  const float r = multiply_add(h.n, -ln2_low, product_sum(half, limited, h.n * -ln2_high));
  return {limited, scaled_tail(limited), growth(r), h.power};
}

/// x times the normal distribution function, 4 ulp, in the lower tail too.
static inline float gelu(float x) {
  const Normal at = normal(x);
  const float y = (x > 0.0f ? at.limited : -x) * at.tail, below = multiply_add(y, at.growth, y) * at.power;
  return (x > 0.0f ? x : 0.0f) - below;
}

/// The derivative of gelu.
static inline float gelu_slope(float x) {
  const Normal at = normal(x);
  const float bell = multiply_add(at.power, at.growth, at.power), lower = at.tail * bell;
  return multiply_add(x, bell * 0x1.988454p-2f, x > 0.0f ? 1.0f - lower : lower);
}

}  // namespace gradus::cpu::vector::GRADUS_ISA
