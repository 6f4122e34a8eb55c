// A SIMD register of floats for whichever instruction set the including file is compiled for. Include from passes.cpp
// only: everything here has a different meaning in each build.
#pragma once

#include <cstddef>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace gradus::winograd::GRADUS_ISA {

#if defined(__AVX512F__)
inline constexpr int lanes = 16;
#elif defined(__AVX2__)
inline constexpr int lanes = 8;
#else
inline constexpr int lanes = 4;
#endif
typedef float Vec __attribute__((vector_size(lanes * sizeof(float))));

[[gnu::always_inline]] inline Vec load(const float* p) {
  Vec v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
[[gnu::always_inline]] inline void store(float* p, Vec v) { __builtin_memcpy(p, &v, sizeof v); }
/// Past the caches, to memory that nothing reads soon; p is aligned to the register's size.
[[gnu::always_inline]] inline void stream(float* p, Vec v) {
#if defined(__AVX512F__)
  _mm512_stream_ps(p, v);
#elif defined(__AVX2__)
  _mm256_stream_ps(p, v);
#else
  store(p, v);
#endif
}
/// Makes streamed stores visible before whatever follows.
inline void finish_streaming() {
#if defined(__AVX2__)
  _mm_sfence();
#endif
}
[[gnu::always_inline]] inline Vec broadcast(float x) { return x - Vec{}; }

}  // namespace gradus::winograd::GRADUS_ISA
