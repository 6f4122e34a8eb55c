// Dropout of float32 and bfloat16: draws belong to elements in logical order, whatever their order in memory.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <vector>

#include "core/cpu/layout.h"
#include "core/cpu/stretch.h"
#include "core/kernels.h"
#include "core/parallel.h"

namespace gradus::kernels {

namespace {

constexpr int64_t grain_blocks = 8192;  // of four draws

struct Draws {
  RandomKey key;
  uint32_t threshold;
  float scale;

  /// keep[i] for elements [begin, begin + count) in logical order; begin is a multiple of 4, and the space that of
  /// whole blocks.
  void operator()(int64_t begin, int64_t count, uint8_t* keep) const {
    RandomKey at = key;
    at.offset += static_cast<uint64_t>(begin / 4);
    cpu::vector::kernels().draw_keep(at, (count + 3) / 4, threshold, keep);
  }
  /// Elements [begin, begin + count) in the order of memory.
  void scale_kept(const uint8_t* keep, const Tensor& x, Tensor& out, int64_t begin, int64_t count) const {
    const cpu::ReadFloats from(x, begin, count);
    const cpu::WriteFloats to(out, begin, count);
    cpu::vector::kernels().scale_kept(keep, scale, from, to, count);
  }
};

void drop_row_major(const Draws& draws, const Tensor& x, Tensor& out) {
  const int64_t count = x.numel();
  parallel_for((count + 3) / 4, grain_blocks, [&](int64_t begin, int64_t end) {
    constexpr int64_t batch = 4096;
    uint8_t keep[batch];
    const int64_t last = std::min(4 * end, count);
    for (int64_t at = 4 * begin; at < last; at += batch) {
      const int64_t length = std::min(batch, last - at);
      draws(at, length, keep);
      draws.scale_kept(keep, x, out, at, length);
    }
  });
}

/// Transposes an 8 x 8 block of bytes: exchanges of halves, quarters, and single bytes across the diagonal.
void transpose_block(const uint8_t* from, int64_t from_stride, uint8_t* to, int64_t to_stride) {
  uint64_t rows[8];
  for (int i = 0; i < 8; ++i) std::memcpy(&rows[i], from + i * from_stride, 8);
  const auto exchange = [&](int distance, uint64_t mask) {
    const int shift = 8 * distance;
    for (int i = 0; i < 8; ++i) {
      if (i & distance) continue;
      const uint64_t difference = ((rows[i] >> shift) ^ rows[i + distance]) & mask;
      rows[i] ^= difference << shift;
      rows[i + distance] ^= difference;
    }
  };
  static_assert(std::endian::native == std::endian::little);
  exchange(4, 0x00000000ffffffff);
  exchange(2, 0x0000ffff0000ffff);
  exchange(1, 0x00ff00ff00ff00ff);
  for (int i = 0; i < 8; ++i) std::memcpy(to + i * to_stride, &rows[i], 8);
}

/// to[p][c] = from[c][p] for `width` pixels.
void transpose_flags(const uint8_t* from, int64_t from_stride, int64_t channels, int64_t width, uint8_t* to) {
  const int64_t whole_channels = channels & ~int64_t{7}, whole_width = width & ~int64_t{7};
  for (int64_t c = 0; c < channels; ++c) {
    const bool in_blocks = c < whole_channels;
    if (in_blocks && c % 8 == 0)
      for (int64_t p = 0; p < whole_width; p += 8)
        transpose_block(from + c * from_stride + p, from_stride, to + p * channels + c, channels);
    for (int64_t p = in_blocks ? whole_width : 0; p < width; ++p) to[p * channels + c] = from[c * from_stride + p];
  }
}

/// Draws an image's flags in logical order, then turns them to pixels of channels, a few pixels at a time.
void drop_channels_last(const Draws& draws, const Tensor& x, Tensor& out) {
  const int64_t channels = x.size(1), pixels = x.size(2) * x.size(3), image = channels * pixels;
  parallel_for(x.size(0), std::max<int64_t>(1, 4 * grain_blocks / image), [&](int64_t begin, int64_t end) {
    constexpr int64_t tile = 64;
    std::vector<uint8_t> keep(static_cast<size_t>(image + 8)), turned(static_cast<size_t>(tile * channels));
    for (int64_t n = begin; n < end; ++n) {
      const int64_t first = n * image, lead = first % 4;
      draws(first - lead, lead + image, keep.data());
      const uint8_t* flags = keep.data() + lead;
      for (int64_t pixel = 0; pixel < pixels; pixel += tile) {
        const int64_t width = std::min(tile, pixels - pixel);
        transpose_flags(flags + pixel, pixels, channels, width, turned.data());
        const int64_t at = first + pixel * channels;
        draws.scale_kept(turned.data(), x, out, at, width * channels);
      }
    }
  });
}

}  // namespace

void dropout(const RandomKey& key, double p, const Tensor& x, Tensor& out) {
  if (!cpu::in_floats(x)) return ref::dropout(key, p, x, out);
  if (x.numel() == 0) return;
  // A draw is k / 2^24 for an integer k: it is at least p where k is at least the threshold.
  const Draws draws{key, static_cast<uint32_t>(std::ceil(p * 0x1p24)), static_cast<float>(1 / (1 - p))};
  if (!x.is_contiguous() && x.is_channels_last() && out.is_channels_last()) return drop_channels_last(draws, x, out);
  const Tensor input = cpu::as_layout(x, Layout::contiguous);
  cpu::write_as_layout(out, Layout::contiguous, [&](Tensor& row_major) { drop_row_major(draws, input, row_major); });
}

}  // namespace gradus::kernels
