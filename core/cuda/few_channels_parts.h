// What the kernels for few input channels share (few_channels.h): how they number pixels, 16 bytes of channels at a
// time, and the sums of blocks' parts.
#pragma once

#include <algorithm>
#include <bit>

#include "core/cuda/element.h"
#include "core/cuda/launch.h"
#include "core/cuda/plain_conv.h"

namespace gradus::cuda::few_channels_parts {

inline constexpr int side = 3, taps = side * side, run = 8;  // run: neighbouring outputs of a row
inline constexpr int most_ins = 4;

struct alignas(16) Quad {
  float at[4];
};

/// 16 bytes of neighbouring channels: one access to memory.
struct alignas(16) [[gnu::may_alias]] Pack {
  uint32_t words[4];
};

/// Two numbers rounded as bfloat16's constructor does, by one instruction where there is one.
GRADUS_ANYWHERE inline uint32_t rounded_pair(float low, float high) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  uint32_t both;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
  return both;
#else
  return uint32_t{bfloat16(high).bits} << 16 | bfloat16(low).bits;
#endif
}

template <class T>
GRADUS_ANYWHERE inline Pack make_pack(const float* values) {
  Pack pack;
  GRADUS_UNROLL
  for (int k = 0; k < 4; ++k) {
    if constexpr (sizeof(T) == 4)
      pack.words[k] = std::bit_cast<uint32_t>(values[k]);
    else
      pack.words[k] = rounded_pair(values[2 * k], values[2 * k + 1]);
  }
  return pack;
}

/// A run's first output pixel, and its outputs: fewer than 8 at the end of a row, 0 where there is no such run.
struct Place {
  int pixel, count;
};

/// Where a run's first output and the first tap of its window lie: the tap in x, perhaps outside of it.
struct Corner {
  Place place;
  int image, row, column;
};

/// x, and the runs of the output that are made of it.
template <class T>
struct Runs {
  const T* x;
  int64_t image_stride, channel_stride, row_stride, column_stride;
  int ins, height, width;                                     // of x
  int out_height, out_width, across;                          // of y; runs of a row
  int top, left, down, right, dilation_down, dilation_right;  // paddings, strides, dilations
  uint32_t runs;

  GRADUS_ANYWHERE Corner corner(uint32_t number) const {
    const int y_row = static_cast<int>(number / static_cast<uint32_t>(across));
    const int image = y_row / out_height, y_column = run * (static_cast<int>(number) - y_row * across);
    const int count = out_width - y_column < run ? out_width - y_column : run;
    return {{y_row * out_width + y_column, count},
            image,
            (y_row - image * out_height) * down - top,
            y_column * right - left};
  }
};

template <class T>
Runs<T> make_runs(const ConvOperands& o, const Conv2dSpec& spec) {
  const Shape &x = o.x.shape(), &y = o.y.shape();
  const Strides& s = o.x.strides();
  const auto number = [](int64_t n) { return static_cast<int>(n); };
  const int64_t across = divided_up(y[3], run);
  return {.x = static_cast<const T*>(o.x.raw()),
          .image_stride = s[0],
          .channel_stride = s[1],
          .row_stride = s[2],
          .column_stride = s[3],
          .ins = number(x[1]),
          .height = number(x[2]),
          .width = number(x[3]),
          .out_height = number(y[2]),
          .out_width = number(y[3]),
          .across = number(across),
          .top = number(spec.padding[0]),
          .left = number(spec.padding[1]),
          .down = number(spec.stride[0]),
          .right = number(spec.stride[1]),
          .dilation_down = number(spec.dilation[0]),
          .dilation_right = number(spec.dilation[1]),
          .runs = static_cast<uint32_t>(y[0] * y[2] * across)};
}

/// Adds the blocks' parts, 32 threads to an element; target(number, sum) stores the sum of elements `number`.
template <class Target>
struct AddParts {
  static constexpr int elements = 8, lanes = threads_per_block / elements, at_once = 10;  // loads under way
  struct Shared {
    float at[lanes][elements];
  };
  const float* parts;
  int64_t count, step;  // of parts; elements of a part, a multiple of 8
  Target target;

  GRADUS_ANYWHERE int phases() const { return 2; }
  GRADUS_ANYWHERE void operator()(int phase, int64_t block, int thread, Shared& shared) const {
    const int lane = thread / elements, place = thread % elements;
    const int64_t number = block * elements + place;
    if (phase == 0) {
      float sums[at_once] = {};
      for (int64_t part = lane; part < count; part += at_once * lanes) {
        GRADUS_UNROLL
        for (int k = 0; k < at_once; ++k)
          if (part + k * lanes < count) sums[k] += parts[(part + k * lanes) * step + number];
      }
      float sum = 0;
      GRADUS_UNROLL
      for (int k = 0; k < at_once; ++k) sum += sums[k];
      shared.at[lane][place] = sum;
      return;
    }
    if (lane != 0) return;
    float sum = 0;
    GRADUS_UNROLL
    for (int l = 0; l < lanes; ++l) sum += shared.at[l][place];
    target(number, sum);
  }
};

template <class Target>
void add_parts(const float* parts, int64_t count, int64_t step, const Target& target) {
  for_each_block(step / AddParts<Target>::elements, AddParts<Target>{parts, count, step, target});
}

}  // namespace gradus::cuda::few_channels_parts
