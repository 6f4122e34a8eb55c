// Two-dimensional transforms of single tiles between channels-last images and the 36 planes that the products work on.
// Include from passes.cpp only.
#pragma once

#include <cstdint>

#include "core/cpu/winograd/vec.h"

namespace gradus::winograd::GRADUS_ISA {

inline constexpr int points = 6, planes = points * points, tile = 4;
inline constexpr int64_t most_channels = 4096;

/// What a tile that hangs over the border reads there.
alignas(64) inline constexpr float zeros[most_channels] = {};

/// An image of `channels` floats per pixel.
struct Image {
  const float* data;
  int64_t height, width, channels;

  const float* pixel(int64_t y, int64_t x) const {
    return y >= 0 && y < height && x >= 0 && x < width ? data + (y * width + x) * channels : zeros;
  }
};

/// Where the 36 planes of one tile go: plane i at data + i * plane, channel group g (of `group_width` channels) at
/// + g * group.
struct Planes {
  float* data;
  int64_t plane, group, group_width;

  float* at(int64_t channel) const { return data + channel / group_width * group + channel % group_width; }
};

/// B^T d B of the 6x6 patch whose first pixel is (y, x).
inline void transform_data(const Image& image, int64_t y, int64_t x, const Planes& out) {
  const float* pixels[planes];
  for (int i = 0; i < points; ++i)
    for (int j = 0; j < points; ++j) pixels[i * points + j] = image.pixel(y + i, x + j);
  const int64_t next_tile = tile * image.channels * static_cast<int64_t>(sizeof(float));
  for (int64_t c = 0; c < image.channels; c += lanes) {
    Vec rows[points][points], column[points], result[points];
#pragma GCC unroll 6
    for (int i = 0; i < points; ++i) {
      const float* const* p = pixels + i * points;
      // The four columns that the next tile of this row adds.
#pragma GCC unroll 4
      for (int j = 2; j < points; ++j) __builtin_prefetch(reinterpret_cast<const char*>(p[j] + c) + next_tile, 0, 3);
#pragma GCC unroll 6
      for (int j = 0; j < points; ++j) column[j] = load(p[j] + c);
      data_to_points(column, rows[i]);
    }
    float* to = out.at(c);
#pragma GCC unroll 6
    for (int j = 0; j < points; ++j) {
#pragma GCC unroll 6
      for (int i = 0; i < points; ++i) column[i] = rows[i][j];
      data_to_points(column, result);
#pragma GCC unroll 6
      for (int i = 0; i < points; ++i) store(to + (i * points + j) * out.plane, result[i]);
    }
  }
}

/// A gy A^T of channels [first, first + width) of the 4x4 tile of output gradients whose first pixel is (y, x).
inline void transform_output_gradient(const Image& image, int64_t y, int64_t x, int64_t first, int64_t width,
                                      const Planes& out) {
  const float* pixels[tile * tile];
  for (int i = 0; i < tile; ++i)
    for (int j = 0; j < tile; ++j) pixels[i * tile + j] = image.pixel(y + i, x + j) + first;
  const int64_t next_tile = tile * image.channels * static_cast<int64_t>(sizeof(float));
  for (int64_t c = 0; c < width; c += lanes) {
    Vec rows[tile][points], column[tile], result[points];
#pragma GCC unroll 4
    for (int i = 0; i < tile; ++i) {
#pragma GCC unroll 4
      for (int j = 0; j < tile; ++j) {
        const float* p = pixels[i * tile + j] + c;
        __builtin_prefetch(reinterpret_cast<const char*>(p) + next_tile, 0, 3);
        column[j] = load(p);
      }
      outputs_to_points(column, rows[i]);
    }
    float* to = out.at(c);
#pragma GCC unroll 6
    for (int j = 0; j < points; ++j) {
#pragma GCC unroll 4
      for (int i = 0; i < tile; ++i) column[i] = rows[i][j];
      outputs_to_points(column, result);
#pragma GCC unroll 6
      for (int i = 0; i < points; ++i) store(to + (i * points + j) * out.plane, result[i]);
    }
  }
}

/// What happens to an output before it is stored: max(value + bias, floor), which keeps NaN.
struct Epilogue {
  const float* bias;  ///< of the first channel written; null for none
  float floor;        ///< 0 for ReLU, -infinity for none
};

/// A^T m A of one tile and `channels` channels, cut at the border of the output. `rows` and `columns` (up to 4) say how
/// much of the tile lies inside. `streaming` bypasses the caches and needs aligned pixels.
inline void transform_products(const float* m, int64_t plane, int64_t channels, int rows, int columns, float* y,
                               int64_t row_stride, int64_t column_stride, const Epilogue& epilogue, bool streaming) {
  const Vec floor = broadcast(epilogue.floor);
  for (int64_t c = 0; c < channels; c += lanes) {
    Vec half[tile][points], column[points], result[tile];
#pragma GCC unroll 6
    for (int j = 0; j < points; ++j) {
#pragma GCC unroll 6
      for (int i = 0; i < points; ++i) column[i] = load(m + c + (i * points + j) * plane);
      points_to_outputs(column, result);
#pragma GCC unroll 4
      for (int i = 0; i < tile; ++i) half[i][j] = result[i];
    }
    const Vec bias = epilogue.bias ? load(epilogue.bias + c) : Vec{};
#pragma GCC unroll 4
    for (int i = 0; i < tile; ++i) {
      points_to_outputs(half[i], result);
      if (i >= rows) break;
      float* to = y + i * row_stride + c;
#pragma GCC unroll 4
      for (int j = 0; j < tile; ++j) {
        const Vec value = result[j] + bias;
        const Vec kept = floor > value ? floor : value;
        if (j >= columns) break;
        if (streaming)
          stream(to + j * column_stride, kept);
        else
          store(to + j * column_stride, kept);
      }
    }
  }
}

}  // namespace gradus::winograd::GRADUS_ISA
