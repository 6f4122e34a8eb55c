// How a pass is cut into pieces: tiles over images, panels over channels, workspaces, and prefetching between them.
// Include from passes.cpp only.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/allocator.h"
#include "core/cpu/winograd/products.h"

namespace gradus::winograd::GRADUS_ISA {

/// Planes whose addresses differ by a large power of two would share a cache set: each gets a cache line more.
inline constexpr int64_t plane_padding = 16;

inline int64_t round_up(int64_t value, int64_t multiple) { return (value + multiple - 1) / multiple * multiple; }

/// A block of float memory that lives as long as the handle, from the allocator's cache.
class Workspace {
 public:
  explicit Workspace(int64_t floats) : storage_(Storage::allocate(static_cast<size_t>(floats) * sizeof(float))) {}
  float* data() const { return static_cast<float*>(storage_.data()); }

 private:
  Storage storage_;
};

/// The cut of `channels` into panels of at most a register block's width: widths as even as multiples of a vector
/// allow. Panels lie one after another in memory, so panel p of a matrix with `rows` rows begins at rows * first(p).
struct Panels {
  explicit Panels(int64_t channels) : vectors(channels / lanes), count((vectors + block_vectors - 1) / block_vectors) {}
  int64_t first(int64_t panel) const { return vectors * panel / count * lanes; }
  int64_t width(int64_t panel) const { return first(panel + 1) - first(panel); }
  int64_t of(int64_t channel) const {
    int64_t panel = channel / lanes * count / vectors;
    while (first(panel + 1) <= channel) ++panel;
    while (first(panel) > channel) --panel;
    return panel;
  }
  int64_t vectors, count;
};

/// Tiles of `extent` x `extent` pixels over images of some size, numbered through all images.
struct Tiling {
  Tiling(int64_t images, int64_t height, int64_t width, int64_t extent)
      : down((height + extent - 1) / extent), across((width + extent - 1) / extent), count(images * down * across) {}
  struct Place {
    int64_t image, row, column;  ///< counted in tiles
  };
  Place place(int64_t index) const {
    const int64_t inside = index % (down * across);
    return {index / (down * across), inside / across, inside % across};
  }
  int64_t down, across, count;
};

/// Hints the cache to fetch a range, a few lines at a time, while other work goes on.
class Prefetcher {
 public:
  Prefetcher(const void* begin, const void* end, int64_t calls)
      : next_(static_cast<const char*>(begin)), end_(static_cast<const char*>(end)) {
    const int64_t lines = next_ < end_ ? (end_ - next_ + 63) / 64 : 0;
    per_call_ = (lines + calls - 1) / std::max<int64_t>(calls, 1);
  }
  void step() {
    for (int64_t i = 0; i < per_call_ && next_ < end_; ++i, next_ += 64) __builtin_prefetch(next_, 0, 2);
  }

 private:
  const char* next_;
  const char* end_;
  int64_t per_call_;
};

/// Fetches the rows, of `row` elements in images `height` rows high, that tiles [begin, end) begin in; tiles lie `step`
/// rows apart.
template <class T>
Prefetcher prefetch_tiles(const T* x, const Tiling& tiling, int64_t step, int64_t height, int64_t row, int64_t begin,
                          int64_t end, int64_t calls) {
  if (begin >= end) return Prefetcher(x, x, 1);
  const auto first = tiling.place(begin), last = tiling.place(end - 1);
  const T* from = x + (first.image * height + std::min(first.row * step, height)) * row;
  const T* to = x + (last.image * height + std::min((last.row + 1) * step, height)) * row;
  return Prefetcher(from, to, calls);
}

}  // namespace gradus::winograd::GRADUS_ISA
