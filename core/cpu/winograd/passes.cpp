// The three passes of a convolution by minimal filtering. Compiled once per instruction set, with GRADUS_ISA naming it.
//
// Tiles of outputs are numbered through all images; every thread takes an equal range of them and works on blocks of
// tiles whose planes stay in its level-2 cache. The output channels are cut into panels as wide as a register block:
// for each panel, one small matrix product per plane, then the transform of their results.
#include "core/cpu/winograd/passes.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <type_traits>

#include "core/cpu/winograd/blocking.h"
#include "core/cpu/winograd/products.h"
#include "core/cpu/winograd/tiles.h"
#include "core/parallel.h"

namespace gradus::winograd::GRADUS_ISA {
namespace {

/// Whether there are passes of stride 2. Of bfloat16 the direct sum is the faster there, wherever it has instructions.
template <class T>
inline constexpr bool has_stride_2 = std::is_same_v<T, float>;

// ---- Filters --------------------------------------------------------------------------------------------------------

/// u[panel][filters][in][width] = G w G^T, of weights rounded to T. w[o * out_stride + i * in_stride + tap]; with
/// `rotated` the taps are reversed.
template <class Scheme, class T>
void transform_filters(const float* w, int64_t in, int64_t out, int64_t in_stride, int64_t out_stride, bool rotated,
                       float* u) {
  const Panels panels(out);
  parallel_for(panels.vectors, 1, [&](int64_t begin, int64_t end) {
    for (int64_t v = begin; v < end; ++v) {
      const int64_t o = v * lanes, panel = panels.of(o), width = panels.width(panel);
      float* to = u + filters * in * panels.first(panel) + (o - panels.first(panel));
      for (int64_t i = 0; i < in; ++i) {
        alignas(64) float values[taps * taps][lanes];
        for (int lane = 0; lane < lanes; ++lane) {
          const float* from = w + (o + lane) * out_stride + i * in_stride;
          for (int t = 0; t < taps * taps; ++t)
            values[t][lane] = static_cast<float>(T(from[rotated ? taps * taps - 1 - t : t]));
        }
        Vec rows[taps][filter_points], column[taps], result[filter_points];
        for (int r = 0; r < taps; ++r) {
          for (int c = 0; c < taps; ++c) column[c] = load(values[r * taps + c]);
          Scheme::filter_to_points(column, rows[r]);
        }
        for (int j = 0; j < filter_points; ++j) {
          for (int r = 0; r < taps; ++r) column[r] = rows[r][j];
          Scheme::filter_to_points(column, result);
          for (int r = 0; r < filter_points; ++r) store(to + ((r * filter_points + j) * in + i) * width, result[r]);
        }
      }
    }
  });
}

// ---- Forward and gradient of the input ------------------------------------------------------------------------------

/// The products of one panel, plane by plane: m[planes][tiles][width] = v[planes][tiles][in] u[filters][in][width].
template <class Scheme, int V>
void multiply_panel(const float* v, int64_t v_plane, int64_t tiles, int64_t in, const float* u, float* m,
                    int64_t m_plane, Prefetcher& ahead) {
  constexpr const auto& order = plane_order<Scheme>;
  const int64_t row_blocks = tiles / block_rows, row_bytes = V * lanes * static_cast<int64_t>(sizeof(float));
  for (int filter = 0; filter < filters; ++filter, u += in * V * lanes) {
    // While one filter's planes are multiplied, the next filter comes in, a share per block of rows.
    const char* next = reinterpret_cast<const char*>(u + in * V * lanes);
    const int64_t blocks = row_blocks * (order.first[filter + 1] - order.first[filter]);
    const int64_t share = std::max<int64_t>(row_bytes / blocks, 1);
    for (int plane = order.first[filter]; plane < order.first[filter + 1]; ++plane)
      for (int64_t b = 0; b < row_blocks; ++b, next += in * share) {
        ahead.step();
        multiply_rows<V>(in, v + plane * v_plane + b * block_rows * in, in, u,
                         m + plane * m_plane + b * block_rows * V * lanes, next, share);
      }
  }
}

/// Tiles per block: the planes of data take most of the level-2 cache, the rest is for products and filters.
template <class Scheme>
int64_t tiles_per_block(int64_t channels) {
  constexpr int64_t floats_per_plane = 36 * 6144 / plane_order<Scheme>.count, most = 48;
  return std::max<int64_t>(std::min(floats_per_plane / channels, most) / block_rows * block_rows, block_rows);
}

/// y from x where `p` holds the sizes of these two, whatever pass it is; the tile in row r reads data from row
/// r * Scheme::step - p.pad_top on, and likewise across.
template <class Scheme, class T>
void convolve(const Problem& p, const T* x, const float* u, const float* bias, bool relu, T* y) {
  constexpr int planes = plane_order<Scheme>.count;
  const Tiling tiling(p.images, p.out_height, p.out_width, Scheme::outputs);
  const Panels panels(p.out);
  const bool streaming = reinterpret_cast<uintptr_t>(y) % sizeof(Vec) == 0;
  const float floor = relu ? 0.0f : -std::numeric_limits<float>::infinity();
  const int64_t most = tiles_per_block<Scheme>(p.in);
  parallel_for(tiling.count, most, [&](int64_t range_begin, int64_t range_end) {
    const int64_t range = range_end - range_begin, blocks = (range + most - 1) / most;
    const int64_t block = round_up((range + blocks - 1) / blocks, block_rows);
    const int64_t v_plane = block * p.in + plane_padding, m_plane = block * block_vectors * lanes + plane_padding;
    const Workspace v(planes * v_plane), m(planes * m_plane);
    for (int64_t begin = range_begin; begin < range_end; begin += block) {
      const int64_t count = std::min(block, range_end - begin), rows = round_up(count, block_rows);
      for (int64_t t = 0; t < count; ++t) {
        const auto at = tiling.place(begin + t);
        const Image<T> image{x + at.image * p.height * p.width * p.in, p.height, p.width, p.in};
        transform_data<Scheme>(image, at.row * Scheme::step - p.pad_top, at.column * Scheme::step - p.pad_left,
                               {v.data() + t * p.in, v_plane, lanes, lanes});
      }
      for (int plane = 0; rows > count && plane < planes; ++plane)
        std::memset(v.data() + plane * v_plane + count * p.in, 0,
                    static_cast<size_t>((rows - count) * p.in) * sizeof(float));
      Prefetcher ahead =
          prefetch_tiles(x, tiling, Scheme::step, p.height, p.width * p.in, begin + count,
                         std::min(begin + count + block, range_end), panels.count * planes * (rows / block_rows));
      for (int64_t panel = 0; panel < panels.count; ++panel) {
        const int64_t first = panels.first(panel), width = panels.width(panel);
        const auto multiply = [&]<int V>() {
          multiply_panel<Scheme, V>(v.data(), v_plane, rows, p.in, u + filters * p.in * first, m.data(), m_plane,
                                    ahead);
        };
        switch (width / lanes) {
          case 1: multiply.template operator()<1>(); break;
          case 2: multiply.template operator()<2>(); break;
          default: multiply.template operator()<block_vectors>();
        }
        for (int64_t t = 0; t < count; ++t) {
          const auto at = tiling.place(begin + t);
          const int64_t row = at.row * Scheme::outputs, column = at.column * Scheme::outputs;
          transform_products<Scheme>(m.data() + t * width, m_plane, width,
                                     static_cast<int>(std::min<int64_t>(p.out_height - row, Scheme::outputs)),
                                     static_cast<int>(std::min<int64_t>(p.out_width - column, Scheme::outputs)),
                                     y + ((at.image * p.out_height + row) * p.out_width + column) * p.out + first,
                                     p.out_width * p.out, p.out, {bias ? bias + first : nullptr, floor}, streaming);
        }
      }
    }
    finish_streaming();
  });
}

template <class Scheme, class T>
void forward_by(const Problem& p, const T* x, const float* w, const float* bias, bool relu, T* y) {
  const Workspace u(filters * p.in * p.out);
  transform_filters<Scheme, T>(w, p.in, p.out, taps * taps, p.in * taps * taps, false, u.data());
  convolve<Scheme>(p, x, u.data(), bias, relu, y);
}

template <class T>
void forward(const Problem& p, const T* x, const float* w, const float* bias, bool relu, T* y) {
  if constexpr (has_stride_2<T>)
    if (p.stride == 2) return forward_by<Strided>(p, x, w, bias, relu, y);
  forward_by<Dense>(p, x, w, bias, relu, y);
}

/// The gradient of a correlation is a correlation with the filters reversed and the roles of the channels exchanged;
/// the first tile of gx needs gy from row `top` and column `left` on.
template <class Scheme, class T>
void grad_input_by(const Problem& p, int64_t top, int64_t left, const T* gy, const float* w, T* gx) {
  const Problem transposed{p.images, p.out_height, p.out_width, p.height, p.width, p.out, p.in, -top, -left, p.stride};
  const Workspace u(filters * p.in * p.out);
  transform_filters<Scheme, T>(w, p.out, p.in, p.in * taps * taps, taps * taps, true, u.data());
  convolve<Scheme>(transposed, gy, u.data(), nullptr, false, gx);
}

template <class T>
void grad_input(const Problem& p, const T* gy, const float* w, T* gx) {
  if constexpr (has_stride_2<T>)
    if (p.stride == 2) {
      // Row h of gx is met by row i of gy where 2 * i + tap = h + padding.
      const auto first = [](int64_t padding) { return padding == 0 ? -1 : (padding - 1) / 2; };
      const int64_t top = first(p.pad_top), left = first(p.pad_left);
      if (p.pad_top % 2 == 1) return grad_input_by<StridedGradient<true>>(p, top, left, gy, w, gx);
      return grad_input_by<StridedGradient<false>>(p, top, left, gy, w, gx);
    }
  grad_input_by<Dense>(p, p.pad_top - 2, p.pad_left - 2, gy, w, gx);
}

// ---- Gradient of the filters ----------------------------------------------------------------------------------------

/// Channels of the data that lie side by side in a block: a multiple of gradient_rows.
constexpr int64_t data_group = 16;

/// du[in][width] (+)= sum over tiles and planes of data times output gradient, for one filter and one panel.
template <int V>
void accumulate_panel(int planes, int64_t tiles, int64_t in, const float* v, int64_t v_plane, const float* d,
                      int64_t d_plane, float* du, bool first) {
  for (int64_t c = 0; c < in; c += data_group)
    for (int64_t i = 0; i < data_group; i += gradient_rows)
      multiply_transposed<V>(planes, tiles, v + c * tiles + i, v_plane, data_group, d, d_plane,
                             du + (c + i) * V * lanes, first);
}

/// Adds the tiles [begin, end) up into du[filters][panel][in][width].
template <class Scheme, class T>
void accumulate(const Problem& p, const T* x, const T* gy, const Tiling& tiling, int64_t range_begin, int64_t range_end,
                float* du) {
  constexpr const auto& order = plane_order<Scheme>;
  constexpr int64_t few = 36 * 32 / order.count, many = 36 * 40 / order.count;  // tiles per block
  const Panels panels(p.out);
  const int64_t range = range_end - range_begin, most = p.in > 96 ? few : many;
  const int64_t blocks = (range + most - 1) / most, block = (range + blocks - 1) / blocks;
  const int64_t v_plane = block * p.in + plane_padding, d_plane = block * p.out + plane_padding;
  const Workspace v(order.count * v_plane), d(order.count * d_plane);
  for (int64_t begin = range_begin; begin < range_end; begin += block) {
    const int64_t count = std::min(block, range_end - begin);
    for (int64_t t = 0; t < count; ++t) {
      const auto at = tiling.place(begin + t);
      const Image<T> data{x + at.image * p.height * p.width * p.in, p.height, p.width, p.in};
      transform_data<Scheme>(data, at.row * Scheme::step - p.pad_top, at.column * Scheme::step - p.pad_left,
                             {v.data() + t * data_group, v_plane, count * data_group, data_group});
      const Image<T> gradient{gy + at.image * p.out_height * p.out_width * p.out, p.out_height, p.out_width, p.out};
      for (int64_t panel = 0; panel < panels.count; ++panel) {
        const int64_t first = panels.first(panel), width = panels.width(panel);
        transform_output_gradient<Scheme>(gradient, at.row * Scheme::outputs, at.column * Scheme::outputs, first, width,
                                          {d.data() + first * count + t * width, d_plane, lanes, lanes});
      }
    }
    const int64_t next = begin + count, next_end = std::min(next + block, range_end), calls = filters * panels.count;
    Prefetcher data_ahead = prefetch_tiles(x, tiling, Scheme::step, p.height, p.width * p.in, next, next_end, calls);
    Prefetcher gradient_ahead =
        prefetch_tiles(gy, tiling, Scheme::outputs, p.out_height, p.out_width * p.out, next, next_end, calls);
    for (int filter = 0; filter < filters; ++filter)
      for (int64_t panel = 0; panel < panels.count; ++panel) {
        data_ahead.step();
        gradient_ahead.step();
        const int64_t first = panels.first(panel);
        const int plane = order.first[filter], shared = order.first[filter + 1] - plane;
        const auto add = [&]<int V>() {
          accumulate_panel<V>(shared, count, p.in, v.data() + plane * v_plane, v_plane,
                              d.data() + plane * d_plane + first * count, d_plane, du + (filter * p.out + first) * p.in,
                              begin == range_begin);
        };
        switch (panels.width(panel) / lanes) {
          case 1: add.template operator()<1>(); break;
          case 2: add.template operator()<2>(); break;
          default: add.template operator()<block_vectors>();
        }
      }
  }
}

/// gw = G^T (sum over the parts of du[part][filters][panel][in][width]) G.
template <class Scheme>
void transform_filter_gradient(const Problem& p, int64_t parts, const float* du, float* gw) {
  const Panels panels(p.out);
  const int64_t size = filters * p.in * p.out;
  parallel_for(panels.vectors, 1, [&](int64_t begin, int64_t end) {
    for (int64_t vector = begin; vector < end; ++vector) {
      const int64_t o = vector * lanes, panel = panels.of(o), first = panels.first(panel), width = panels.width(panel);
      for (int64_t i = 0; i < p.in; ++i) {
        Vec half[taps][filter_points], column[filter_points], result[taps];
        for (int j = 0; j < filter_points; ++j) {
          for (int r = 0; r < filter_points; ++r) {
            const float* from = du + ((r * filter_points + j) * p.out + first) * p.in + i * width + (o - first);
            column[r] = load(from);
            for (int64_t part = 1; part < parts; ++part) column[r] += load(from + part * size);
          }
          Scheme::points_to_filter(column, result);
          for (int r = 0; r < taps; ++r) half[r][j] = result[r];
        }
        alignas(64) float values[taps * taps][lanes];
        for (int r = 0; r < taps; ++r) {
          Scheme::points_to_filter(half[r], result);
          for (int c = 0; c < taps; ++c) store(values[r * taps + c], result[c]);
        }
        for (int lane = 0; lane < lanes; ++lane)
          for (int t = 0; t < taps * taps; ++t) gw[((o + lane) * p.in + i) * taps * taps + t] = values[t][lane];
      }
    }
  });
}

template <class Scheme, class T>
void grad_weight_by(const Problem& p, const T* x, const T* gy, float* gw) {
  const Tiling tiling(p.images, p.out_height, p.out_width, Scheme::outputs);
  const int64_t parts = std::min<int64_t>(num_threads(), tiling.count), size = filters * p.in * p.out;
  const Workspace du(parts * size);
  parallel_for(parts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t part = begin; part < end; ++part)
      accumulate<Scheme>(p, x, gy, tiling, tiling.count * part / parts, tiling.count * (part + 1) / parts,
                         du.data() + part * size);
  });
  transform_filter_gradient<Scheme>(p, parts, du.data(), gw);
}

template <class T>
void grad_weight(const Problem& p, const T* x, const T* gy, float* gw) {
  if constexpr (has_stride_2<T>)
    if (p.stride == 2) return grad_weight_by<Strided>(p, x, gy, gw);
  grad_weight_by<Dense>(p, x, gy, gw);
}

}  // namespace

const Passes passes{{forward<float>, grad_input<float>, grad_weight<float>},
                    {forward<bfloat16>, grad_input<bfloat16>, grad_weight<bfloat16>}};

}  // namespace gradus::winograd::GRADUS_ISA
