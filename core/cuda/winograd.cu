// Winograd's F(4x4, 3x3): y = A^T [ (G g G^T) . (B^T d B) ] A for a tile d of 6x6 inputs, a filter g and 4x4 outputs y.
// A thread transforms one tile in a few neighbouring channels; neighbouring threads have neighbouring channels, so that
// every access is to contiguous memory. Points lie as [36, tiles, channels], which is a batch of 36 matrices.
#include "core/cuda/winograd.h"

#include <algorithm>

#include "core/cuda/gemm.h"
#include "core/cuda/launch.h"

namespace gradus::cuda {
namespace {

constexpr int taps = 3, outputs = 4, data = 6, side = 6;  // of a dimension; side: its points
constexpr int points = side * side;

// ---- Transforms of one dimension ------------------------------------------------------------------------------------

// By Lagrange interpolation (Cook-Toom) from the points 0, +-a, +-b and infinity; the scales of B^T are moved into G.
constexpr double a = 0.625, b = 1.5, aa = a * a, bb = b * b;
constexpr double at_zero = 1 / (aa * bb), at_a = 1 / (2 * aa * (aa - bb)), at_b = 1 / (2 * bb * (bb - aa));
constexpr float a1 = a, a2 = aa, a3 = aa * a, b1 = b, b2 = bb, b3 = bb * b;
constexpr float a2b2 = aa * bb, a2_plus_b2 = aa + bb;
constexpr float scale_zero = at_zero, scale_a = at_a, scale_a_a1 = at_a * a, scale_a_a2 = at_a * aa;
constexpr float scale_b = at_b, scale_b_b1 = at_b * b, scale_b_b2 = at_b * bb;

/// B^T d.
template <class V>
GRADUS_ANYWHERE inline void to_points(const V (&d)[data], V (&out)[side]) {
  const V even_a = d[4] - b2 * d[2], odd_a = a1 * (d[3] - b2 * d[1]);
  const V even_b = d[4] - a2 * d[2], odd_b = b1 * (d[3] - a2 * d[1]);
  out[0] = a2b2 * d[0] + (d[4] - a2_plus_b2 * d[2]);
  out[1] = even_a + odd_a;
  out[2] = even_a - odd_a;
  out[3] = even_b + odd_b;
  out[4] = even_b - odd_b;
  out[5] = a2b2 * d[1] + (d[5] - a2_plus_b2 * d[3]);
}

/// A y, for gradients of the outputs.
template <class V>
GRADUS_ANYWHERE inline void to_points(const V (&y)[outputs], V (&out)[side]) {
  const V even_a = y[0] + a2 * y[2], odd_a = a1 * (y[1] + a2 * y[3]);
  const V even_b = y[0] + b2 * y[2], odd_b = b1 * (y[1] + b2 * y[3]);
  out[0] = y[0];
  out[1] = even_a + odd_a;
  out[2] = even_a - odd_a;
  out[3] = even_b + odd_b;
  out[4] = even_b - odd_b;
  out[5] = y[3];
}

/// G g.
template <class V>
GRADUS_ANYWHERE inline void to_points(const V (&g)[taps], V (&out)[side]) {
  const V even_a = scale_a * g[0] + scale_a_a2 * g[2], odd_a = scale_a_a1 * g[1];
  const V even_b = scale_b * g[0] + scale_b_b2 * g[2], odd_b = scale_b_b1 * g[1];
  out[0] = scale_zero * g[0];
  out[1] = even_a + odd_a;
  out[2] = even_a - odd_a;
  out[3] = even_b + odd_b;
  out[4] = even_b - odd_b;
  out[5] = g[2];
}

/// A^T m.
template <class V>
GRADUS_ANYWHERE inline void from_points(const V (&m)[side], V (&out)[outputs]) {
  const V sum_a = m[1] + m[2], difference_a = m[1] - m[2], sum_b = m[3] + m[4], difference_b = m[3] - m[4];
  out[0] = m[0] + sum_a + sum_b;
  out[1] = b1 * difference_b + a1 * difference_a;
  out[2] = b2 * sum_b + a2 * sum_a;
  out[3] = b3 * difference_b + a3 * difference_a + m[5];
}

/// G^T s, for gradients of the filter.
template <class V>
GRADUS_ANYWHERE inline void from_points(const V (&s)[side], V (&out)[taps]) {
  const V sum_a = s[1] + s[2], difference_a = s[1] - s[2], sum_b = s[3] + s[4], difference_b = s[3] - s[4];
  out[0] = scale_zero * s[0] + scale_a * sum_a + scale_b * sum_b;
  out[1] = scale_a_a1 * difference_a + scale_b_b1 * difference_b;
  out[2] = scale_a_a2 * sum_a + scale_b_b2 * sum_b + s[5];
}

// ---- Transforms of tiles --------------------------------------------------------------------------------------------

/// Neighbouring channels, which a thread has to itself.
struct alignas(8) Pack {
  static constexpr int width = 2;
  float at[width];
  /// Without a branch: loads that are followed by it wait for nothing.
  friend GRADUS_ANYWHERE Pack or_zero(Pack x, bool keep) {
    for (float& v : x.at) v = keep ? v : 0.0f;
    return x;
  }
  friend GRADUS_ANYWHERE Pack operator+(const Pack& x, const Pack& y) {
    Pack out;
    for (int k = 0; k < width; ++k) out.at[k] = x.at[k] + y.at[k];
    return out;
  }
  friend GRADUS_ANYWHERE Pack operator-(const Pack& x, const Pack& y) {
    Pack out;
    for (int k = 0; k < width; ++k) out.at[k] = x.at[k] - y.at[k];
    return out;
  }
  friend GRADUS_ANYWHERE Pack operator*(float x, const Pack& y) {
    Pack out;
    for (int k = 0; k < width; ++k) out.at[k] = x * y.at[k];
    return out;
  }
};
static_assert(sizeof(Pack) == alignof(Pack));

GRADUS_ANYWHERE inline uint32_t clamped(int i, int extent) {
  return static_cast<uint32_t>(i < 0 ? 0 : i < extent ? i : extent - 1);
}

/// Some channels-last images, and the tiles that cover them, or their surroundings, in steps of 4 pixels.
struct Tiles {
  int height, width;           // of an image
  int top, left;               // the first tile's first pixel
  uint32_t across, per_image;  // tiles
  uint32_t count;              // tiles of all images
  uint32_t groups;             // packs of a pixel

  struct Place {
    uint32_t tile, group, pixel;  // pixel: the image's first one
    int row, column;              // of the tile's first pixel; either may lie outside
  };
  /// Of thread i: neighbours in one tile have neighbouring packs. Behind the last tile it is that one's place.
  GRADUS_ANYWHERE Place place(int64_t i) const {
    const auto number = static_cast<uint32_t>(i);
    const uint32_t tile = number / groups, inside = tile < count ? tile : count - 1, image = inside / per_image;
    const uint32_t in_image = inside - image * per_image, down = in_image / across;
    return {tile, number - tile * groups, image * static_cast<uint32_t>(height * width),
            top + outputs * static_cast<int>(down), left + outputs * static_cast<int>(in_image - down * across)};
  }
  GRADUS_ANYWHERE bool has_row(int row) const { return row >= 0 && row < height; }
  GRADUS_ANYWHERE bool has_column(int column) const { return column >= 0 && column < width; }
  GRADUS_ANYWHERE uint32_t nearest_row(int row) const { return clamped(row, height); }
  GRADUS_ANYWHERE uint32_t nearest_column(int column) const { return clamped(column, width); }
  GRADUS_ANYWHERE uint32_t pack(const Place& at, uint32_t row, uint32_t column) const {
    return (at.pixel + row * static_cast<uint32_t>(width) + column) * groups + at.group;
  }
};

/// From tiles of 6x6 inputs or of 4x4 gradients to points. What lies outside the images is zero, and so are the tiles
/// from `tiles.count` on, up to `rows` in all.
template <int size>
struct ToPoints {
  Tiles tiles;
  uint32_t rows;
  const Pack* images;
  Pack* out;  // [36, rows, groups]

  GRADUS_ANYWHERE void operator()(int64_t i) const {
    const Tiles::Place at = tiles.place(i);
    uint32_t column_of[size];  // in packs
    for (int c = 0; c < size; ++c) column_of[c] = tiles.nearest_column(at.column + c) * tiles.groups;
    Pack half[size][side];
    for (int r = 0; r < size; ++r) {
      const Pack* const from = images + tiles.pack(at, tiles.nearest_row(at.row + r), 0);
      const bool inside = at.tile < tiles.count && tiles.has_row(at.row + r);
      Pack row[size];
      for (int c = 0; c < size; ++c) {
        row[c] = or_zero(from[column_of[c]], inside && tiles.has_column(at.column + c));
      }
      to_points(row, half[r]);
    }
    const uint32_t step = rows * tiles.groups;
    for (int c = 0; c < side; ++c) {
      Pack column[size], to[side];
      for (int r = 0; r < size; ++r) column[r] = half[r][c];
      to_points(column, to);
      for (int r = 0; r < side; ++r) out[static_cast<uint32_t>(i) + static_cast<uint32_t>(r * side + c) * step] = to[r];
    }
  }
};

/// From points of products to outputs, with bias and ReLU.
struct ToOutputs {
  Tiles tiles;
  const Pack* in;  // [36, tiles, groups]
  Pack* images;
  const float* bias;  // or null
  int64_t bias_stride;
  bool relu;

  GRADUS_ANYWHERE void operator()(int64_t i) const {
    const Tiles::Place at = tiles.place(i);
    const uint32_t step = tiles.count * tiles.groups;
    Pack half[outputs][side];
    for (int c = 0; c < side; ++c) {
      Pack column[side], to[outputs];
      for (int r = 0; r < side; ++r)
        column[r] = in[static_cast<uint32_t>(i) + static_cast<uint32_t>(r * side + c) * step];
      from_points(column, to);
      for (int r = 0; r < outputs; ++r) half[r][c] = to[r];
    }
    Pack shift{};
    if (bias)
      for (int k = 0; k < Pack::width; ++k) shift.at[k] = bias[(at.group * Pack::width + k) * bias_stride];
    for (int r = 0; r < outputs; ++r) {
      Pack row[outputs];
      from_points(half[r], row);
      for (int c = 0; c < outputs; ++c) {
        if (!tiles.has_row(at.row + r) || !tiles.has_column(at.column + c)) continue;
        Pack value = row[c] + shift;
        for (float& v : value.at) v = relu && v < 0 ? 0.0f : v;  // keeps NaN
        images[tiles.pack(at, static_cast<uint32_t>(at.row + r), static_cast<uint32_t>(at.column + c))] = value;
      }
    }
  }
};

// ---- Transforms of filters ------------------------------------------------------------------------------------------

/// A weight by strides, whose taps may run backwards: first_tap is the place of tap (0, 0) of the first filter.
struct Filters {
  float* first_tap;
  int64_t ins, outs;
  int64_t in_stride, out_stride, row_stride, column_stride;
  GRADUS_ANYWHERE float* filter(int64_t in, int64_t out) const { return first_tap + in * in_stride + out * out_stride; }
  GRADUS_ANYWHERE int64_t tap(int r, int c) const { return r * row_stride + c * column_stride; }
};

struct FilterToPoints {
  Filters filters;
  float* out;  // [36, ins, outs]

  GRADUS_ANYWHERE void operator()(int64_t i) const {
    const int64_t in = i / filters.outs;
    const float* filter = filters.filter(in, i - in * filters.outs);
    float half[taps][side];
    for (int r = 0; r < taps; ++r) {
      const float row[taps] = {filter[filters.tap(r, 0)], filter[filters.tap(r, 1)], filter[filters.tap(r, 2)]};
      to_points(row, half[r]);
    }
    const int64_t step = filters.ins * filters.outs;
    for (int c = 0; c < side; ++c) {
      const float column[taps] = {half[0][c], half[1][c], half[2][c]};
      float to[side];
      to_points(column, to);
      for (int r = 0; r < side; ++r) out[i + (r * side + c) * step] = to[r];
    }
  }
};

/// Adds the parts of the products' sums, in order, and makes filters of them.
struct ToFilters {
  static constexpr int per_block = 32;
  struct Shared {
    float at[points][per_block];
  };
  Filters filters;
  const float* sums;  // [36, parts, outs, ins]
  int64_t parts;

  GRADUS_ANYWHERE int phases() const { return 2; }
  GRADUS_ANYWHERE void operator()(int phase, int64_t block, int thread, Shared& shared) const {
    const int64_t step = filters.ins * filters.outs;
    if (phase == 0) {
      for (int k = thread; k < points * per_block; k += threads_per_block) {
        const int point = k / per_block, place = k % per_block;
        const int64_t number = block * per_block + place;
        if (number >= step) continue;
        float sum = 0;
        for (int64_t part = 0; part < parts; ++part) sum += sums[(point * parts + part) * step + number];
        shared.at[point][place] = sum;
      }
      return;
    }
    const int64_t number = block * per_block + thread, out = number / filters.ins;
    if (thread >= per_block || number >= step) return;
    float half[taps][side];
    for (int c = 0; c < side; ++c) {
      float column[side], to[taps];
      for (int r = 0; r < side; ++r) column[r] = shared.at[r * side + c][thread];
      from_points(column, to);
      for (int r = 0; r < taps; ++r) half[r][c] = to[r];
    }
    float* filter = filters.filter(number - out * filters.ins, out);
    for (int r = 0; r < taps; ++r) {
      float row[taps];
      from_points(half[r], row);
      for (int c = 0; c < taps; ++c) filter[filters.tap(r, c)] = row[c];
    }
  }
};

// ---- Passes ---------------------------------------------------------------------------------------------------------

/// A batch of images: channels-last, float32.
struct Images {
  explicit Images(const Tensor& x)
      : data(static_cast<float*>(x.raw())),
        count(x.shape()[0]),
        channels(x.shape()[1]),
        height(x.shape()[2]),
        width(x.shape()[3]) {}
  Pack* from(int64_t image) const { return reinterpret_cast<Pack*>(data + image * height * width * channels); }

  float* data;
  int64_t count, channels, height, width;
};

/// Tiles of `images` images, as many as the outputs of `cover` take, the first one's first pixel at (top, left).
Tiles make_tiles(const Images& x, int64_t images, const Images& cover, int64_t top, int64_t left) {
  const int64_t across = divided_up(cover.width, outputs), per_image = divided_up(cover.height, outputs) * across;
  return {.height = static_cast<int>(x.height),
          .width = static_cast<int>(x.width),
          .top = static_cast<int>(top),
          .left = static_cast<int>(left),
          .across = static_cast<uint32_t>(across),
          .per_image = static_cast<uint32_t>(per_image),
          .count = static_cast<uint32_t>(per_image * images),
          .groups = static_cast<uint32_t>(x.channels / Pack::width)};
}

int64_t tiles_of(const Images& x, int64_t images) {
  return divided_up(x.height, outputs) * divided_up(x.width, outputs) * images;
}

Storage floats(int64_t count) { return Storage::allocate(static_cast<size_t>(count) * sizeof(float)); }

/// A point's matrix of all its rows: row-major, or its transpose.
Matrix matrix(const Storage& of, int64_t rows, int64_t columns, bool transposed = false) {
  return {of.data(), columns, rows * columns, transposed};
}

/// to = from * filters, of which each filter's first tap meets pixel (-top, -left) for the output at (0, 0).
void convolve(const Images& from, const Images& to, const Filters& filters, int64_t top, int64_t left,
              const Tensor& bias, bool relu, int64_t chunk) {
  const int64_t ins = from.channels, outs = to.channels, most_tiles = tiles_of(to, std::min(chunk, to.count));
  const Storage u = floats(points * ins * outs);
  const Storage v = floats(points * most_tiles * ins), m = floats(points * most_tiles * outs);
  for_each(ins * outs, FilterToPoints{filters, static_cast<float*>(u.data())});
  for (int64_t first = 0; first < to.count; first += chunk) {
    const int64_t images = std::min(chunk, to.count - first);
    const Tiles inputs = make_tiles(from, images, to, -top, -left), results = make_tiles(to, images, to, 0, 0);
    for_each(int64_t{inputs.count} * inputs.groups,
             ToPoints<data>{inputs, inputs.count, from.from(first), static_cast<Pack*>(v.data())});
    gemm({.m = inputs.count,
          .n = outs,
          .k = ins,
          .batch = points,
          .a = matrix(v, inputs.count, ins),
          .b = matrix(u, ins, outs),
          .c = matrix(m, inputs.count, outs),
          .dtype = DType::float32,
          .result = DType::float32,
          .alpha = 1,
          .beta = 0});
    for_each(int64_t{results.count} * results.groups,
             ToOutputs{results, static_cast<const Pack*>(m.data()), to.from(first),
                       bias.defined() ? static_cast<const float*>(bias.raw()) : nullptr,
                       bias.defined() ? bias.strides()[0] : 0, relu});
  }
}

/// The filters' gradient: for every point the sum over tiles of the products of gy's points and x's.
void correlate(const Images& x, const Images& y, const Filters& filters, int64_t top, int64_t left,
               const WinogradCut& cut) {
  constexpr int64_t multiple = 8;
  const int64_t ins = x.channels, outs = y.channels, parts = cut.parts;
  const auto terms_of = [&](int64_t images) {  // of a part
    return divided_up(divided_up(tiles_of(y, images), parts), multiple) * multiple;
  };
  const int64_t most_rows = parts * terms_of(std::min(cut.images, x.count));
  const Storage v = floats(points * most_rows * ins), z = floats(points * most_rows * outs);
  const Storage sums = floats(points * parts * outs * ins);
  for (int64_t first = 0; first < x.count; first += cut.images) {
    const int64_t images = std::min(cut.images, x.count - first), terms = terms_of(images), rows = parts * terms;
    const Tiles inputs = make_tiles(x, images, y, -top, -left), gradients = make_tiles(y, images, y, 0, 0);
    for_each(rows * inputs.groups,
             ToPoints<data>{inputs, static_cast<uint32_t>(rows), x.from(first), static_cast<Pack*>(v.data())});
    for_each(rows * gradients.groups,
             ToPoints<outputs>{gradients, static_cast<uint32_t>(rows), y.from(first), static_cast<Pack*>(z.data())});
    gemm({.m = outs,
          .n = ins,
          .k = terms,
          .batch = points * parts,
          .a = matrix(z, terms, outs, true),
          .b = matrix(v, terms, ins),
          .c = matrix(sums, outs, ins),
          .dtype = DType::float32,
          .result = DType::float32,
          .alpha = 1,
          .beta = first == 0 ? 0.0 : 1.0});
  }
  for_each_block(divided_up(ins * outs, ToFilters::per_block),
                 ToFilters{filters, static_cast<const float*>(sums.data()), parts});
}

}  // namespace

void winograd(ConvPass pass, const ConvOperands& o, const Conv2dSpec& spec, const WinogradCut& cut) {
  const Images x(o.x), y(o.y);
  auto* const w = static_cast<float*>(o.w.raw());
  const Strides& s = o.w.strides();
  const Filters filters = {w, x.channels, y.channels, s[1], s[0], s[2], s[3]};
  const int64_t top = spec.padding[0], left = spec.padding[1], last = taps - 1;
  switch (pass) {
    case ConvPass::forward: return convolve(x, y, filters, top, left, o.bias, o.relu, cut.images);
    case ConvPass::grad_input: {  // of gy with the filters turned by 180 degrees
      const Filters turned = {w + last * (s[2] + s[3]), y.channels, x.channels, s[0], s[1], -s[2], -s[3]};
      return convolve(y, x, turned, last - top, last - left, {}, false, cut.images);
    }
    case ConvPass::grad_weight: return correlate(x, y, filters, top, left, cut);
  }
}

}  // namespace gradus::cuda
