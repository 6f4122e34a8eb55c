// The widest vector of floats of the instruction set, as the compiler's own vector type: loads and stores of any
// alignment, and a multiply-add that is fused where the processor can. Included by the files of this directory only.
#pragma once

#include <cstdint>

#if defined(__AVX512F__) || defined(__FMA__)
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

static inline Pack load(const float* from) {
  Pack p;
  __builtin_memcpy(&p, from, sizeof p);
  return p;
}
static inline void store(float* to, Pack p) { __builtin_memcpy(to, &p, sizeof p); }
static inline Pack spread(float value) { return value - Pack{}; }

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

}  // namespace gradus::cpu::vector::GRADUS_ISA
