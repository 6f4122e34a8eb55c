// Convolution with 3x3 filters by Winograd's minimal filtering: for 4x4 outputs 36 products at stride 1, by F(4x4,
// 3x3), and 81 at stride 2, where the direct method has 144. Channels-last activations of float32 or bfloat16 (T), OIHW
// filters of float32; everything between is float32, and bfloat16 rounds filters first and results last. (Lavin & Gray
// 2016; interpolation points 0, +-5/8, +-3/2 and infinity, which halve the rounding error of the usual 0, +-1,
// +-2. At stride 2 the outer taps of each dimension are a two-tap filter over every other pixel: points +-3/8, +-5/4,
// infinity.)
#pragma once

#include <cstdint>

#include "core/dtype.h"

namespace gradus::winograd {

/// One convolution, seen from its forward pass. All extents are positive.
struct Problem {
  int64_t images;
  int64_t height, width;          ///< of the input
  int64_t out_height, out_width;  ///< of the output
  int64_t in, out;                ///< channels
  int64_t pad_top, pad_left;      ///< 0, 1 or 2; at stride 2 both odd or both even
  int64_t stride;                 ///< 1 or, of float32, 2; of both dimensions
};

/// Channels that the kernels can do: multiples of 16, at most 4096.
bool supports(int64_t in, int64_t out);
/// Whether this processor has vector instructions that make it worthwhile.
bool available();

/// y [N, H', W', O] = x [N, H, W, I] * w [O, I, 3, 3] + bias [O] (may be null), then max(., 0) with relu.
template <class T>
void forward(const Problem& p, const T* x, const float* w, const float* bias, bool relu, T* y);
/// gx [N, H, W, I] from gy [N, H', W', O].
template <class T>
void grad_input(const Problem& p, const T* gy, const float* w, T* gx);
/// gw [O, I, 3, 3] from x and gy. Sums are split over threads: the bits depend on their number, on nothing else.
template <class T>
void grad_weight(const Problem& p, const T* x, const T* gy, float* gw);

}  // namespace gradus::winograd
