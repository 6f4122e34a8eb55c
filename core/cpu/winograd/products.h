// The micro-kernels: a few rows of one matrix times one panel of another, the accumulators held in registers. Include
// from passes.cpp only.
#pragma once

#include <cstdint>

#include "core/cpu/winograd/vec.h"

namespace gradus::winograd::GRADUS_ISA {

// Register blocks: rows x vectors accumulators, plus one panel row and one broadcast value, fit the register file.
#if defined(__AVX512F__)
inline constexpr int block_rows = 8, block_vectors = 3;
inline constexpr int gradient_rows = 8;
#else
inline constexpr int block_rows = 6, block_vectors = 2;
inline constexpr int gradient_rows = 4;
#endif

/// c[i][j] = sum_k a[i * lda + k] * b[k * width + j] for `block_rows` rows and width = V vectors. Each step of k
/// prefetches the next `prefetch_step` bytes from `prefetch`, where the next panel lies.
template <int V>
[[gnu::always_inline]] inline void multiply_rows(int64_t depth, const float* a, int64_t lda, const float* b, float* c,
                                                 const char* prefetch, int64_t prefetch_step) {
  Vec sums[block_rows][V];
#pragma GCC unroll 8
  for (int i = 0; i < block_rows; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < V; ++j) sums[i][j] = Vec{};
#pragma GCC unroll 2
  for (int64_t k = 0; k < depth; ++k) {
    Vec row[V];
#pragma GCC unroll 4
    for (int j = 0; j < V; ++j) row[j] = load(b + j * lanes);
    __builtin_prefetch(prefetch, 0, 3);
    prefetch += prefetch_step;
#pragma GCC unroll 8
    for (int i = 0; i < block_rows; ++i) {
      const Vec x = broadcast(a[i * lda + k]);
#pragma GCC unroll 4
      for (int j = 0; j < V; ++j) sums[i][j] += x * row[j];
    }
    b += V * lanes;
  }
#pragma GCC unroll 8
  for (int i = 0; i < block_rows; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < V; ++j) store(c + i * (V * lanes) + j * lanes, sums[i][j]);
}

/// c[i][j] (+)= sum over planes s and depth t of a[s * a_plane + t * lda + i] * b[s * b_plane + t * width + j] for
/// `gradient_rows` rows and width = V vectors: the sum over one block of tiles is formed from zero and then added,
/// which keeps the error of long sums small.
template <int V>
[[gnu::always_inline]] inline void multiply_transposed(int planes, int64_t depth, const float* a_first, int64_t a_plane,
                                                       int64_t lda, const float* b_first, int64_t b_plane, float* c,
                                                       bool first) {
  Vec sums[gradient_rows][V];
#pragma GCC unroll 8
  for (int i = 0; i < gradient_rows; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < V; ++j) {
      sums[i][j] = Vec{};
      __builtin_prefetch(c + i * (V * lanes) + j * lanes, 1, 3);
    }
  for (int plane = 0; plane < planes; ++plane) {
    const float *a = a_first + plane * a_plane, *b = b_first + plane * b_plane;
#pragma GCC unroll 2
    for (int64_t t = 0; t < depth; ++t) {
      Vec row[V];
#pragma GCC unroll 4
      for (int j = 0; j < V; ++j) row[j] = load(b + j * lanes);
#pragma GCC unroll 8
      for (int i = 0; i < gradient_rows; ++i) {
        const Vec x = broadcast(a[i]);
#pragma GCC unroll 4
        for (int j = 0; j < V; ++j) sums[i][j] += x * row[j];
      }
      b += V * lanes;
      a += lda;
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < gradient_rows; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < V; ++j) {
      float* to = c + i * (V * lanes) + j * lanes;
      store(to, first ? sums[i][j] : load(to) + sums[i][j]);
    }
}

}  // namespace gradus::winograd::GRADUS_ISA
