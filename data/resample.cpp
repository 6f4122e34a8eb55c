#include "data/resample.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace gradus {
namespace {

using Float4 = float __attribute__((vector_size(16)));

/// Per target pixel, the weights of consecutive source pixels; they sum to 1.
struct Taps {
  std::vector<int64_t> first, count;
  std::vector<float> weights;  // [to, widest]
  int64_t widest = 0;
};

/// Of `extent` source pixels those from `begin` to `begin + length`, on `to` target pixels.
Taps axis_taps(int64_t extent, double begin, double length, int64_t to) {
  const double scale = length / static_cast<double>(to), support = std::max(scale, 1.0);
  Taps taps;
  taps.widest = static_cast<int64_t>(2 * support) + 2;
  taps.weights.resize(static_cast<size_t>(to * taps.widest));
  for (int64_t i = 0; i < to; ++i) {
    const double center = begin + (static_cast<double>(i) + 0.5) * scale;
    const int64_t first = std::clamp(static_cast<int64_t>(center - support + 0.5), int64_t{0}, extent - 1);
    const int64_t end = std::clamp(static_cast<int64_t>(center + support + 0.5), first + 1, extent);
    float* weights = taps.weights.data() + i * taps.widest;
    double sum = 0;
    const auto triangle = [&](int64_t k) {
      return std::max(0.0, 1 - std::abs(static_cast<double>(k) + 0.5 - center) / support);
    };
    for (int64_t k = first; k < end; ++k) sum += triangle(k);
    for (int64_t k = first; k < end; ++k)
      weights[k - first] = static_cast<float>(sum > 0 ? triangle(k) / sum : 1 / static_cast<double>(end - first));
    taps.first.push_back(first);
    taps.count.push_back(end - first);
  }
  return taps;
}

// Wider vectors where the processor has them; without fused multiplication, so that every processor's sums are equal.
#if defined(__x86_64__) && defined(__GLIBC__)
#define GRADUS_WIDE __attribute__((target_clones("avx2", "default")))
#else
#define GRADUS_WIDE
#endif

/// One row of target height: the weighted sum of source rows, `length` floats.
GRADUS_WIDE void sum_rows(const PixelView& view, int64_t column, int64_t first, int64_t count, const float* weights,
                          int64_t length, float* out) {
  const uint8_t* from = view.pixels + first * view.stride + column * view.channels;
  for (int64_t i = 0; i < length; ++i) out[i] = weights[0] * static_cast<float>(from[i]);
  for (int64_t k = 1; k < count; ++k) {
    from += view.stride;
    const float weight = weights[k];
    for (int64_t i = 0; i < length; ++i) out[i] += weight * static_cast<float>(from[i]);
  }
}

/// One target row of RGB from a source row that has at least one float behind its end, as `out` must.
void sum_columns_rgb(const float* row, const Taps& taps, int64_t offset, float* out, int64_t step) {
  const auto count = static_cast<int64_t>(taps.first.size());
  for (int64_t x = 0; x < count; ++x, out += step) {
    const auto i = static_cast<size_t>(x);
    const float* from = row + 3 * (taps.first[i] - offset);
    const float* weights = taps.weights.data() + x * taps.widest;
    Float4 sum = {};
    for (int64_t k = 0; k < taps.count[i]; ++k, from += 3) {
      Float4 pixel;
      std::memcpy(&pixel, from, sizeof pixel);
      sum += weights[k] * pixel;
    }
    for (int c = 0; c < 3; ++c) out[c] = sum[c];
  }
}

void sum_columns(const float* row, const Taps& taps, int64_t offset, int64_t channels, float* out, int64_t step) {
  for (size_t x = 0; x < taps.first.size(); ++x, out += step)
    for (int64_t c = 0; c < channels; ++c) {
      const float* weights = taps.weights.data() + static_cast<int64_t>(x) * taps.widest;
      float sum = 0;
      for (int64_t k = 0; k < taps.count[x]; ++k) sum += weights[k] * row[channels * (taps.first[x] - offset + k) + c];
      out[c] = sum;
    }
}

}  // namespace

void resample(const PixelView& view, const Box& box, int64_t height, int64_t width, bool mirror, float* out) {
  const Taps down = axis_taps(view.height, box.top, box.height, height);
  const Taps across = axis_taps(view.width, box.left, box.width, width);
  // Rows first: they are contiguous. Only the columns that the second pass looks at.
  const int64_t begin = across.first.front(), end = across.first.back() + across.count.back();
  const int64_t length = (end - begin) * view.channels, row_size = width * view.channels;
  std::vector<float> row(static_cast<size_t>(length + 4));
  for (int64_t y = 0; y < height; ++y) {
    const auto i = static_cast<size_t>(y);
    sum_rows(view, begin, down.first[i], down.count[i], down.weights.data() + y * down.widest, length, row.data());
    float* first = out + y * row_size + (mirror ? row_size - view.channels : 0);
    const int64_t step = mirror ? -view.channels : view.channels;
    if (view.channels == 3)
      sum_columns_rgb(row.data(), across, begin, first, step);
    else
      sum_columns(row.data(), across, begin, view.channels, first, step);
  }
}

}  // namespace gradus
