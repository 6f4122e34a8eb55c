// Two-dimensional transforms of single tiles between channels-last images and the planes that the products work on: one
// plane for each pair of a scheme's points. Include from passes.cpp only.
#pragma once

#include <cstdint>

#include "core/cpu/winograd/schemes.h"

namespace gradus::winograd::GRADUS_ISA {

inline constexpr int filters = filter_points * filter_points;
inline constexpr int64_t most_channels = 4096;

/// The planes of a scheme, numbered so that those which share a filter follow one another.
template <class Scheme>
struct PlaneOrder {
  static constexpr int count = Scheme::points * Scheme::points;
  int first[filters + 1] = {};                  ///< plane of each filter, filters numbered row by row
  int of[Scheme::points][Scheme::points] = {};  ///< plane of a pair of points

  constexpr PlaneOrder() {
    int plane = 0, row = 0;
    for (int i = 0; i < filter_points; row += Scheme::shares(i++)) {
      int column = 0;
      for (int j = 0; j < filter_points; column += Scheme::shares(j++)) {
        first[i * filter_points + j] = plane;
        for (int r = 0; r < Scheme::shares(i); ++r)
          for (int c = 0; c < Scheme::shares(j); ++c) of[row + r][column + c] = plane++;
      }
    }
    first[filters] = plane;
  }
};
template <class Scheme>
inline constexpr PlaneOrder<Scheme> plane_order;

/// What a tile that hangs over the border reads there.
template <class T>
alignas(64) inline constexpr T zeros[most_channels] = {};

/// An image of `channels` elements per pixel, float or bfloat16.
template <class T>
struct Image {
  const T* data;
  int64_t height, width, channels;

  const T* pixel(int64_t y, int64_t x) const {
    return y >= 0 && y < height && x >= 0 && x < width ? data + (y * width + x) * channels : zeros<T>;
  }
};

/// Where the planes of one tile go: plane i at data + i * plane, channel group g (of `group_width` channels) at
/// + g * group.
struct Planes {
  float* data;
  int64_t plane, group, group_width;

  float* at(int64_t channel) const { return data + channel / group_width * group + channel % group_width; }
};

/// The points of `extent` x `extent` pixels, whose first is (y, x), of channels [first, first + width). `to_points` is
/// the transform of one dimension; fetches what the next tile of this row, `step` pixels on, reads beside this one.
template <class Scheme, int extent, int step, class T, class ToPoints>
[[gnu::always_inline]] inline void transform_pixels(const Image<T>& image, int64_t y, int64_t x, int64_t first,
                                                    int64_t width, const Planes& out, ToPoints&& to_points) {
  constexpr int points = Scheme::points;
  const T* pixels[extent * extent];
  for (int i = 0; i < extent; ++i)
    for (int j = 0; j < extent; ++j) pixels[i * extent + j] = image.pixel(y + i, x + j) + first;
  const int64_t next_tile = step * image.channels * static_cast<int64_t>(sizeof(T));
  for (int64_t c = 0; c < width; c += lanes) {
    Vec rows[extent][points], column[extent], result[points];
#pragma GCC unroll 9
    for (int i = 0; i < extent; ++i) {
      const T* const* p = pixels + i * extent;
#pragma GCC unroll 8
      for (int j = extent - step; j < extent; ++j)
        __builtin_prefetch(reinterpret_cast<const char*>(p[j] + c) + next_tile, 0, 3);
#pragma GCC unroll 9
      for (int j = 0; j < extent; ++j) column[j] = load(p[j] + c);
      to_points(column, rows[i]);
    }
    float* to = out.at(c);
#pragma GCC unroll 9
    for (int j = 0; j < points; ++j) {
#pragma GCC unroll 9
      for (int i = 0; i < extent; ++i) column[i] = rows[i][j];
      to_points(column, result);
#pragma GCC unroll 9
      for (int i = 0; i < points; ++i) store(to + plane_order<Scheme>.of[i][j] * out.plane, result[i]);
    }
  }
}

/// B^T d B of the patch whose first pixel is (y, x).
template <class Scheme, class T>
void transform_data(const Image<T>& image, int64_t y, int64_t x, const Planes& out) {
  transform_pixels<Scheme, Scheme::data, Scheme::step>(
      image, y, x, 0, image.channels, out,
      [](const auto& d, auto& p) __attribute__((always_inline)) { Scheme::data_to_points(d, p); });
}

/// A gy A^T of channels [first, first + width) of the tile of output gradients whose first pixel is (y, x).
template <class Scheme, class T>
void transform_output_gradient(const Image<T>& image, int64_t y, int64_t x, int64_t first, int64_t width,
                               const Planes& out) {
  transform_pixels<Scheme, Scheme::outputs, Scheme::outputs>(
      image, y, x, first, width, out,
      [](const auto& d, auto& p) __attribute__((always_inline)) { Scheme::outputs_to_points(d, p); });
}

/// What happens to an output before it is stored: max(value + bias, floor), which keeps NaN.
struct Epilogue {
  const float* bias;  ///< of the first channel written; null for none
  float floor;        ///< 0 for ReLU, -infinity for none
};

/// A^T m A of one tile and `channels` channels, cut at the border of the output. `rows` and `columns` say how much of
/// the tile lies inside. `streaming` bypasses the caches and needs aligned pixels.
template <class Scheme, class T>
void transform_products(const float* m, int64_t plane, int64_t channels, int rows, int columns, T* y,
                        int64_t row_stride, int64_t column_stride, const Epilogue& epilogue, bool streaming) {
  constexpr int points = Scheme::points, outputs = Scheme::outputs;
  const Vec floor = broadcast(epilogue.floor);
  for (int64_t c = 0; c < channels; c += lanes) {
    Vec half[outputs][points], column[points], result[outputs];
#pragma GCC unroll 9
    for (int j = 0; j < points; ++j) {
#pragma GCC unroll 9
      for (int i = 0; i < points; ++i) column[i] = load(m + c + plane_order<Scheme>.of[i][j] * plane);
      Scheme::points_to_outputs(column, result);
#pragma GCC unroll 8
      for (int i = 0; i < outputs; ++i) half[i][j] = result[i];
    }
    const Vec bias = epilogue.bias ? load(epilogue.bias + c) : Vec{};
#pragma GCC unroll 8
    for (int i = 0; i < outputs; ++i) {
      Scheme::points_to_outputs(half[i], result);
      if (i >= rows) break;
      T* to = y + i * row_stride + c;
#pragma GCC unroll 8
      for (int j = 0; j < outputs; ++j) {
        const Vec value = result[j] + bias;
        const Vec kept = floor > value ? floor : value;
        if (j >= columns) break;
        if (streaming)
          stream_result(to + j * column_stride, kept);
        else
          store_result(to + j * column_stride, kept);
      }
    }
  }
}

}  // namespace gradus::winograd::GRADUS_ISA
