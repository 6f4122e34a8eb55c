// Warps: 32 threads that multiply small matrices together, on the tensor cores. A Body with `by_warp` is handed warps
// in place of threads (launch.h). What each of a warp's threads, its lanes, keeps for itself is PerLane; every function
// here is one of the whole warp. On the host a warp is one thread that does all lanes' work.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

#include "core/cuda/launch.h"

namespace gradus::cuda {

inline constexpr int warp_lanes = 32, warps_per_block = threads_per_block / warp_lanes;

/// How many lanes' work a thread does.
#ifdef __CUDACC__
inline constexpr int lanes_here = 1;
#else
inline constexpr int lanes_here = warp_lanes;
#endif

/// work(lane) by every lane. What one lane writes to shared memory here, others may read in a later phase only.
template <class Work>
GRADUS_ANYWHERE inline void for_lanes(const Work& work) {
#ifdef __CUDA_ARCH__
  work(static_cast<int>(threadIdx.x) % warp_lanes);
#else
  for (int lane = 0; lane < warp_lanes; ++lane) work(lane);
#endif
}

template <class T>
struct PerLane {
  T of[lanes_here];
  GRADUS_ANYWHERE T& operator[](int lane) { return of[lanes_here == 1 ? 0 : lane]; }
  GRADUS_ANYWHERE const T& operator[](int lane) const { return of[lanes_here == 1 ? 0 : lane]; }
};

/// A lane's parts of the operands and of the sums of one product. With g = lane / 4 and j = lane % 4, of 16 x 8 sums it
/// holds (g, 2j), (g, 2j + 1), (g + 8, 2j), (g + 8, 2j + 1).
///   TF32, 8 terms:      left (g, j), (g + 8, j), (g, j + 4), (g + 8, j + 4); right (j, g), (j + 4, g): 32 bits each.
///   bfloat16, 16 terms: left (g, 2j), (g + 8, 2j), (g, 2j + 8), (g + 8, 2j + 8), each with its right neighbour in the
///                       upper 16 bits; right (2j, g), (2j + 8, g), each with its lower neighbour, (2j + 1, g), there.
struct Sums {
  float at[4];
};
struct Left {
  uint32_t at[4];
};
struct Right {
  uint32_t at[2];
};

/// Rounded to the 10 bits of mantissa that TF32 keeps, to nearest, ties away from zero.
GRADUS_ANYWHERE inline uint32_t tf32_of(float value) {
#ifdef __CUDA_ARCH__
  uint32_t bits;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(value));
  return bits;
#else
  const auto bits = std::bit_cast<uint32_t>(value);
  return (bits & 0x7f800000u) == 0x7f800000u ? bits : (bits + 0x1000u) & ~0x1fffu;
#endif
}

#ifndef __CUDA_ARCH__

/// By the elements at a row or column and a term, from where the lanes hold them.
template <int terms, class Element>
void multiply_on_host(PerLane<Sums>& sums, const Element& element) {
  for (int lane = 0; lane < warp_lanes; ++lane)
    for (int k = 0; k < 4; ++k) {
      const int row = lane / 4 + k / 2 * 8, column = lane % 4 * 2 + k % 2;
      double sum = static_cast<double>(sums[lane].at[k]);
      for (int term = 0; term < terms; ++term) sum += element(row, column, term);
      sums[lane].at[k] = static_cast<float>(sum);
    }
}

#endif

/// sums += left * right, of 8 terms.
GRADUS_ANYWHERE inline void multiply_tf32(PerLane<Sums>& sums, const PerLane<Left>& left, const PerLane<Right>& right) {
#ifdef __CUDA_ARCH__
  float* const c = sums[0].at;
  const uint32_t *const a = left[0].at, *const b = right[0].at;
  asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  const auto value = [](uint32_t bits) { return static_cast<double>(std::bit_cast<float>(bits & ~0x1fffu)); };
  multiply_on_host<8>(sums, [&](int row, int column, int term) {
    return value(left[row % 8 * 4 + term % 4].at[row / 8 + term / 4 * 2]) *
           value(right[column * 4 + term % 4].at[term / 4]);
  });
#endif
}

/// The same of 16 terms.
GRADUS_ANYWHERE inline void multiply_bf16(PerLane<Sums>& sums, const PerLane<Left>& left, const PerLane<Right>& right) {
#ifdef __CUDA_ARCH__
  float* const c = sums[0].at;
  const uint32_t *const a = left[0].at, *const b = right[0].at;
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  const auto value = [](uint32_t pair, int upper) {
    return static_cast<double>(std::bit_cast<float>(upper ? pair & 0xffff0000u : pair << 16));
  };
  multiply_on_host<16>(sums, [&](int row, int column, int term) {
    return value(left[row % 8 * 4 + term % 8 / 2].at[row / 8 + term / 8 * 2], term % 2) *
           value(right[column * 4 + term % 8 / 2].at[term / 8], term % 2);
  });
#endif
}

/// Copies 16 bytes to shared memory, or zeros where `there` is false (`from` must be a valid address all the same);
/// complete for this thread after wait_for_copies().
GRADUS_ANYWHERE inline void copy_async(void* to, const void* from, bool there) {
#ifdef __CUDA_ARCH__
  const int bytes = there ? 16 : 0;
  asm volatile(
      "cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(static_cast<uint32_t>(__cvta_generic_to_shared(to))),
      "l"(from), "r"(bytes)
      : "memory");
#else
  if (there)
    std::memcpy(to, from, 16);
  else
    std::memset(to, 0, 16);
#endif
}

/// Ends a group of copies.
GRADUS_ANYWHERE inline void end_copies() {
#ifdef __CUDA_ARCH__
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

/// Returns when no more than the latest `groups` groups of this thread's copies are under way.
template <int groups>
GRADUS_ANYWHERE inline void wait_for_copies() {
#ifdef __CUDA_ARCH__
  asm volatile("cp.async.wait_group %0;" ::"n"(groups) : "memory");
#endif
}

}  // namespace gradus::cuda
