// The widest vector of floats of the instruction set, as the compiler's own vector type: loads and stores of any
// alignment, and a multiply-add that is fused where the processor can. Included by this directory's files and
// Winograd's only.
#pragma once

#include <cstdint>

#include "core/dtype.h"

#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace gradus::cpu::vector::GRADUS_ISA {

#if defined(__AVX512F__)
static constexpr int width = 16;
#elif defined(__AVX2__)
static constexpr int width = 8;
#else
static constexpr int width = 4;
#endif

using Pack = float __attribute__((vector_size(width * sizeof(float))));
using DoublePack = double __attribute__((vector_size(sizeof(Pack))));

/// A vector of T, float or double, and how many it holds.
template <class T>
struct Packed {
  using Type = Pack;
};
template <>
struct Packed<double> {
  using Type = DoublePack;
};
template <class T>
using PackOf = typename Packed<T>::Type;
template <class T>
static constexpr int width_of = static_cast<int>(sizeof(Pack) / sizeof(T));

static inline Pack load(const float* from) {
  Pack p;
  __builtin_memcpy(&p, from, sizeof p);
  return p;
}
static inline void store(float* to, Pack p) { __builtin_memcpy(to, &p, sizeof p); }
static inline DoublePack load(const double* from) {
  DoublePack p;
  __builtin_memcpy(&p, from, sizeof p);
  return p;
}
static inline void store(double* to, DoublePack p) { __builtin_memcpy(to, &p, sizeof p); }

/// store() past the caches, to an address that is a multiple of the pack's size. Other threads may not see it before
/// end_streams().
static inline void stream(float* to, Pack p) {
#if defined(__AVX512F__)
  _mm512_stream_ps(to, p);
#elif defined(__AVX2__)
  _mm256_stream_ps(to, p);
#elif defined(__SSE2__)
  _mm_stream_ps(to, p);
#else
  store(to, p);
#endif
}
static inline void stream(double* to, DoublePack p) { stream(reinterpret_cast<float*>(to), (Pack)p); }
static inline void end_streams() {
#if defined(__SSE2__)
  _mm_sfence();
#endif
}

using HalfPack = uint16_t __attribute__((vector_size(width * sizeof(uint16_t))));
using Bits = uint32_t __attribute__((vector_size(width * sizeof(float))));

static inline Pack load(const bfloat16* from) {
  HalfPack p;
  __builtin_memcpy(&p, from, sizeof p);
  return (Pack)(__builtin_convertvector(p, Bits) << 16);
}
/// Of elements that bfloat16 can hold: the lower halves of the floats are dropped.
static inline HalfPack upper_halves(Pack p) { return __builtin_convertvector((Bits)p >> 16, HalfPack); }
static inline void store(bfloat16* to, Pack p) {
  const HalfPack upper = upper_halves(p);
  __builtin_memcpy(static_cast<void*>(to), &upper, sizeof upper);
}
static inline Pack spread(float value) { return value - Pack{}; }
static inline DoublePack spread(double value) { return value - DoublePack{}; }

/// a * b + c.
static inline Pack multiply_add(Pack a, Pack b, Pack c) {
#if defined(__AVX512F__)
  return static_cast<Pack>(_mm512_fmadd_ps(a, b, c));
#elif defined(__FMA__)
  return static_cast<Pack>(_mm256_fmadd_ps(a, b, c));
#else
  return a * b + c;
#endif
}

static inline DoublePack multiply_add(DoublePack a, DoublePack b, DoublePack c) {
#if defined(__AVX512F__)
  return static_cast<DoublePack>(_mm512_fmadd_pd(a, b, c));
#elif defined(__FMA__)
  return static_cast<DoublePack>(_mm256_fmadd_pd(a, b, c));
#else
  return a * b + c;
#endif
}

/// Stores the first `count` elements, 0 < count <= width.
static inline void store_first(float* to, Pack p, int64_t count) {
#if defined(__AVX512F__)
  _mm512_mask_storeu_ps(to, static_cast<__mmask16>((1u << count) - 1), p);
#else
  float all[width];
  store(all, p);
  for (int64_t i = 0; i < count; ++i) to[i] = all[i];
#endif
}
/// Loads them, and 0 beyond.
static inline Pack load_first(const float* from, int64_t count) {
#if defined(__AVX512F__)
  return static_cast<Pack>(_mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << count) - 1), from));
#else
  float all[width] = {};
  for (int64_t i = 0; i < count; ++i) all[i] = from[i];
  return load(all);
#endif
}

static inline void store_first(double* to, DoublePack p, int64_t count) {
  __builtin_memcpy(to, &p, static_cast<size_t>(count) * sizeof(double));
}
static inline DoublePack load_first(const double* from, int64_t count) {
  DoublePack all = {};
  __builtin_memcpy(&all, from, static_cast<size_t>(count) * sizeof(double));
  return all;
}

static inline void store_first(bfloat16* to, Pack p, int64_t count) {
  const HalfPack upper = upper_halves(p);
  __builtin_memcpy(static_cast<void*>(to), &upper, static_cast<size_t>(count) * sizeof(bfloat16));
}
static inline Pack load_first(const bfloat16* from, int64_t count) {
  HalfPack all = {};
  __builtin_memcpy(&all, from, static_cast<size_t>(count) * sizeof(bfloat16));
  return (Pack)(__builtin_convertvector(all, Bits) << 16);
}

/// Half as many 64-bit integers.
using WidePack = uint64_t __attribute__((vector_size(width * sizeof(float))));

/// The products of the lower halves of the elements.
static inline WidePack multiply_low_halves(WidePack a, WidePack b) {
#if defined(__AVX512F__)
  return (WidePack)_mm512_maskz_mul_epu32(static_cast<__mmask8>(-1), (__m512i)a, (__m512i)b);
#elif defined(__AVX2__)
  return (WidePack)_mm256_mul_epu32((__m256i)a, (__m256i)b);
#elif defined(__SSE2__)
  return (WidePack)_mm_mul_epu32((__m128i)a, (__m128i)b);
#else
  return (a & 0xffffffffu) * (b & 0xffffffffu);
#endif
}

}  // namespace gradus::cpu::vector::GRADUS_ISA
