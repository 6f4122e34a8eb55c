// The three passes of a convolution by F(4x4, 3x3). Compiled once per instruction set, with GRADUS_ISA naming it.
//
// Tiles of 4x4 outputs are numbered through all images; every thread takes an equal range of them and works on blocks
// of tiles whose 36 planes stay in its level-2 cache. The output channels are cut into panels as wide as a register
// block: for each panel, 36 small matrix products, then the transform of their results.
#include "core/cpu/winograd/passes.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "core/allocator.h"
#include "core/cpu/winograd/products.h"
#include "core/cpu/winograd/tiles.h"
#include "core/parallel.h"

namespace gradus::winograd::GRADUS_ISA {
namespace {

/// Planes whose addresses differ by a large power of two would share a cache set: each gets a cache line more.
constexpr int64_t plane_padding = 16;

int64_t round_up(int64_t value, int64_t multiple) { return (value + multiple - 1) / multiple * multiple; }

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

/// Tiles of an output of some extent.
struct Tiling {
  Tiling(int64_t images, int64_t height, int64_t width)
      : down((height + tile - 1) / tile), across((width + tile - 1) / tile), count(images * down * across) {}
  struct Place {
    int64_t image, y, x;  ///< of the first output pixel
  };
  Place place(int64_t index) const {
    const int64_t inside = index % (down * across);
    return {index / (down * across), inside / across * tile, inside % across * tile};
  }
  int64_t down, across, count;
};

/// Hints the cache to fetch a range, a few lines at a time, while other work goes on.
class Prefetcher {
 public:
  Prefetcher(const float* begin, const float* end, int64_t calls)
      : next_(reinterpret_cast<const char*>(begin)), end_(reinterpret_cast<const char*>(end)) {
    const int64_t lines = begin < end ? (end_ - next_ + 63) / 64 : 0;
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

/// The rows of `image_height` x `row` floats per image that tiles [begin, end) begin in.
Prefetcher prefetch_tiles(const float* x, const Tiling& tiling, int64_t image_height, int64_t row, int64_t begin,
                          int64_t end, int64_t calls) {
  if (begin >= end) return Prefetcher(x, x, 1);
  const auto first = tiling.place(begin), last = tiling.place(end - 1);
  const float* from = x + (first.image * image_height + std::min(first.y, image_height)) * row;
  const float* to = x + (last.image * image_height + std::min(last.y + tile, image_height)) * row;
  return Prefetcher(from, to, calls);
}

// ---- Filters
// ---------------------------------------------------------------------------------------------------------

/// u[panel][36][in][width] = G w G^T. w[o * out_stride + i * in_stride + tap]; with `rotated` the taps are reversed.
void transform_filters(const float* w, int64_t in, int64_t out, int64_t in_stride, int64_t out_stride, bool rotated,
                       float* u) {
  const Panels panels(out);
  parallel_for(panels.vectors, 1, [&](int64_t begin, int64_t end) {
    for (int64_t v = begin; v < end; ++v) {
      const int64_t o = v * lanes, panel = panels.of(o), width = panels.width(panel);
      float* to = u + planes * in * panels.first(panel) + (o - panels.first(panel));
      for (int64_t i = 0; i < in; ++i) {
        alignas(64) float taps[9][lanes];
        for (int lane = 0; lane < lanes; ++lane) {
          const float* from = w + (o + lane) * out_stride + i * in_stride;
          for (int t = 0; t < 9; ++t) taps[t][lane] = from[rotated ? 8 - t : t];
        }
        Vec rows[3][points], column[3], result[points];
        for (int r = 0; r < 3; ++r) {
          for (int c = 0; c < 3; ++c) column[c] = load(taps[r * 3 + c]);
          filter_to_points(column, rows[r]);
        }
        for (int j = 0; j < points; ++j) {
          for (int r = 0; r < 3; ++r) column[r] = rows[r][j];
          filter_to_points(column, result);
          for (int r = 0; r < points; ++r) store(to + ((r * points + j) * in + i) * width, result[r]);
        }
      }
    }
  });
}

// ---- Forward and gradient of the input
// -------------------------------------------------------------------------------

/// The 36 products of one panel: m[36][tiles][width] = v[36][tiles][in] u[36][in][width].
template <int V>
void multiply_panel(const float* v, int64_t v_plane, int64_t tiles, int64_t in, const float* u, float* m,
                    int64_t m_plane, Prefetcher& ahead) {
  const int64_t row_blocks = tiles / block_rows;
  const int64_t panel_bytes = in * V * lanes * static_cast<int64_t>(sizeof(float));
  // While one plane is multiplied, the filters of the next come in, a share per block of rows.
  const int64_t step = std::max<int64_t>(V * lanes * static_cast<int64_t>(sizeof(float)) / row_blocks, 1);
  for (int plane = 0; plane < planes; ++plane) {
    const float* filters = u + plane * in * V * lanes;
    const char* next = reinterpret_cast<const char*>(filters) + panel_bytes;
    for (int64_t b = 0; b < row_blocks; ++b) {
      ahead.step();
      multiply_rows<V>(in, v + plane * v_plane + b * block_rows * in, in, filters,
                       m + plane * m_plane + b * block_rows * V * lanes, next + b * in * step, step);
    }
  }
}

/// Tiles per block: the planes of data take most of the level-2 cache, the rest is for products and filters.
int64_t tiles_per_block(int64_t channels) {
  constexpr int64_t floats_per_plane = 6144, most = 48;
  return std::max<int64_t>(std::min(floats_per_plane / channels, most) / block_rows * block_rows, block_rows);
}

void convolve(const Problem& p, const float* x, const float* u, const float* bias, bool relu, float* y) {
  const Tiling tiling(p.images, p.out_height, p.out_width);
  const Panels panels(p.out);
  const bool streaming = reinterpret_cast<uintptr_t>(y) % sizeof(Vec) == 0;
  const float floor = relu ? 0.0f : -std::numeric_limits<float>::infinity();
  parallel_for(tiling.count, tiles_per_block(p.in), [&](int64_t range_begin, int64_t range_end) {
    const int64_t range = range_end - range_begin, most = tiles_per_block(p.in), blocks = (range + most - 1) / most;
    const int64_t block = round_up((range + blocks - 1) / blocks, block_rows);
    const int64_t v_plane = block * p.in + plane_padding, m_plane = block * block_vectors * lanes + plane_padding;
    const Workspace v(planes * v_plane), m(planes * m_plane);
    for (int64_t begin = range_begin; begin < range_end; begin += block) {
      const int64_t count = std::min(block, range_end - begin), rows = round_up(count, block_rows);
      for (int64_t t = 0; t < count; ++t) {
        const auto at = tiling.place(begin + t);
        const Image image{x + at.image * p.height * p.width * p.in, p.height, p.width, p.in};
        transform_data(image, at.y - p.pad_top, at.x - p.pad_left, {v.data() + t * p.in, v_plane, lanes, lanes});
      }
      for (int plane = 0; rows > count && plane < planes; ++plane)
        std::memset(v.data() + plane * v_plane + count * p.in, 0,
                    static_cast<size_t>((rows - count) * p.in) * sizeof(float));
      Prefetcher ahead =
          prefetch_tiles(x, tiling, p.height, p.width * p.in, begin + count, std::min(begin + count + block, range_end),
                         panels.count * planes * (rows / block_rows));
      for (int64_t panel = 0; panel < panels.count; ++panel) {
        const int64_t first = panels.first(panel), width = panels.width(panel);
        const float* filters = u + planes * p.in * first;
        switch (width / lanes) {
          case 1: multiply_panel<1>(v.data(), v_plane, rows, p.in, filters, m.data(), m_plane, ahead); break;
          case 2: multiply_panel<2>(v.data(), v_plane, rows, p.in, filters, m.data(), m_plane, ahead); break;
          default: multiply_panel<block_vectors>(v.data(), v_plane, rows, p.in, filters, m.data(), m_plane, ahead);
        }
        for (int64_t t = 0; t < count; ++t) {
          const auto at = tiling.place(begin + t);
          float* to = y + ((at.image * p.out_height + at.y) * p.out_width + at.x) * p.out + first;
          transform_products(m.data() + t * width, m_plane, width,
                             static_cast<int>(std::min<int64_t>(p.out_height - at.y, tile)),
                             static_cast<int>(std::min<int64_t>(p.out_width - at.x, tile)), to, p.out_width * p.out,
                             p.out, {bias ? bias + first : nullptr, floor}, streaming);
        }
      }
    }
    finish_streaming();
  });
}

void forward(const Problem& p, const float* x, const float* w, const float* bias, bool relu, float* y) {
  const Workspace u(planes * p.in * p.out);
  transform_filters(w, p.in, p.out, 9, p.in * 9, false, u.data());
  convolve(p, x, u.data(), bias, relu, y);
}

void grad_input(const Problem& p, const float* gy, const float* w, float* gx) {
  // The gradient of a correlation is a correlation with the filters rotated and the roles of the channels exchanged.
  const Problem transposed{p.images, p.out_height, p.out_width,   p.height,      p.width,
                           p.out,    p.in,         2 - p.pad_top, 2 - p.pad_left};
  const Workspace u(planes * p.in * p.out);
  transform_filters(w, p.out, p.in, p.in * 9, 9, true, u.data());
  convolve(transposed, gy, u.data(), nullptr, false, gx);
}

// ---- Gradient of the filters
// -----------------------------------------------------------------------------------------

/// Channels of the data that lie side by side in a block: a multiple of gradient_rows.
constexpr int64_t data_group = 16;

/// du[36][panel][in][width] (+)= sum over the block's tiles of data times output gradient.
template <int V>
void accumulate_panel(int64_t tiles, int64_t in, const float* v, const float* d, float* du, bool first) {
  for (int64_t c = 0; c < in; c += data_group)
    for (int64_t i = 0; i < data_group; i += gradient_rows)
      multiply_transposed<V>(tiles, v + c * tiles + i, data_group, d, du + (c + i) * V * lanes, first);
}

/// Adds the tiles [begin, end) up into du.
void accumulate(const Problem& p, const float* x, const float* gy, const Tiling& tiling, int64_t range_begin,
                int64_t range_end, float* du) {
  constexpr int64_t most = 40;
  const Panels panels(p.out);
  const int64_t range = range_end - range_begin, limit = p.in > 96 ? 32 : most;
  const int64_t blocks = (range + limit - 1) / limit, block = (range + blocks - 1) / blocks;
  const int64_t v_plane = block * p.in + plane_padding, d_plane = block * p.out + plane_padding;
  const Workspace v(planes * v_plane), d(planes * d_plane);
  for (int64_t begin = range_begin; begin < range_end; begin += block) {
    const int64_t count = std::min(block, range_end - begin);
    for (int64_t t = 0; t < count; ++t) {
      const auto at = tiling.place(begin + t);
      const Image data{x + at.image * p.height * p.width * p.in, p.height, p.width, p.in};
      transform_data(data, at.y - p.pad_top, at.x - p.pad_left,
                     {v.data() + t * data_group, v_plane, count * data_group, data_group});
      const Image gradient{gy + at.image * p.out_height * p.out_width * p.out, p.out_height, p.out_width, p.out};
      for (int64_t panel = 0; panel < panels.count; ++panel) {
        const int64_t first = panels.first(panel), width = panels.width(panel);
        transform_output_gradient(gradient, at.y, at.x, first, width,
                                  {d.data() + first * count + t * width, d_plane, lanes, lanes});
      }
    }
    const int64_t next = begin + count, next_end = std::min(next + block, range_end);
    const int64_t calls = planes * panels.count;
    Prefetcher data_ahead = prefetch_tiles(x, tiling, p.height, p.width * p.in, next, next_end, calls);
    Prefetcher gradient_ahead = prefetch_tiles(gy, tiling, p.out_height, p.out_width * p.out, next, next_end, calls);
    for (int plane = 0; plane < planes; ++plane)
      for (int64_t panel = 0; panel < panels.count; ++panel) {
        data_ahead.step();
        gradient_ahead.step();
        const int64_t first = panels.first(panel);
        const float* data = v.data() + plane * v_plane;
        const float* gradient = d.data() + plane * d_plane + first * count;
        float* sums = du + (plane * p.out + first) * p.in;
        const bool fresh = begin == range_begin;
        switch (panels.width(panel) / lanes) {
          case 1: accumulate_panel<1>(count, p.in, data, gradient, sums, fresh); break;
          case 2: accumulate_panel<2>(count, p.in, data, gradient, sums, fresh); break;
          default: accumulate_panel<block_vectors>(count, p.in, data, gradient, sums, fresh);
        }
      }
  }
}

void grad_weight(const Problem& p, const float* x, const float* gy, float* gw) {
  const Tiling tiling(p.images, p.out_height, p.out_width);
  const Panels panels(p.out);
  const int64_t parts = std::min<int64_t>(num_threads(), tiling.count), size = planes * p.in * p.out;
  const Workspace du(parts * size);
  parallel_for(parts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t part = begin; part < end; ++part)
      accumulate(p, x, gy, tiling, tiling.count * part / parts, tiling.count * (part + 1) / parts,
                 du.data() + part * size);
  });
  // gw = G^T (sum of the parts) G
  parallel_for(panels.vectors, 1, [&](int64_t begin, int64_t end) {
    for (int64_t vector = begin; vector < end; ++vector) {
      const int64_t o = vector * lanes, panel = panels.of(o), first = panels.first(panel), width = panels.width(panel);
      for (int64_t i = 0; i < p.in; ++i) {
        Vec half[3][points], column[points], result[3];
        for (int j = 0; j < points; ++j) {
          for (int r = 0; r < points; ++r) {
            const float* from = du.data() + ((r * points + j) * p.out + first) * p.in + i * width + (o - first);
            column[r] = load(from);
            for (int64_t part = 1; part < parts; ++part) column[r] += load(from + part * size);
          }
          points_to_filter(column, result);
          for (int r = 0; r < 3; ++r) half[r][j] = result[r];
        }
        alignas(64) float taps[9][lanes];
        for (int r = 0; r < 3; ++r) {
          points_to_filter(half[r], result);
          for (int c = 0; c < 3; ++c) store(taps[r * 3 + c], result[c]);
        }
        for (int lane = 0; lane < lanes; ++lane)
          for (int t = 0; t < 9; ++t) gw[((o + lane) * p.in + i) * 9 + t] = taps[t][lane];
      }
    }
  });
}

}  // namespace

const Passes passes{forward, grad_input, grad_weight};

}  // namespace gradus::winograd::GRADUS_ISA
