// Random numbers: the scalar functions of core/distributions.h, element by element in the order of memory. An element's
// number is its logical position, found as its place in an imagined row-major tensor.
#include "core/cuda/element.h"
#include "core/cuda/walk.h"
#include "core/distributions.h"

namespace gradus::kernels {
namespace {

using namespace cuda;

/// A key, and while work is recorded the place of what it advances by.
struct Key {
  explicit Key(const RandomKey& given) : key(given), steps(given.advances ? recorded_steps() : nullptr) {}

  /// The Philox block in which element number i finds its word.
  GRADUS_ANYWHERE std::array<uint32_t, 4> block_of(int64_t i) const {
    RandomKey at = key;
    at.offset += static_cast<uint64_t>(i) / 4;
    if (steps) at.offset += static_cast<uint64_t>(*steps) << 32;
    return philox(at);
  }

  RandomKey key;
  const int64_t* steps;
};

struct Uniform {
  Walk<2> walk;  // out, number
  Key key;
  double low, high;
  void* out;
  DType type;
  GRADUS_ANYWHERE void operator()(int64_t i) const {
    int64_t at[2];
    walk.places(i, at);
    store<double>(out, type, at[0], to_uniform(key.block_of(at[1])[at[1] % 4], low, high));
  }
};

struct Normal {
  Walk<2> walk;  // out, number
  Key key;
  double mean, std;
  void* out;
  DType type;
  GRADUS_ANYWHERE void operator()(int64_t i) const {
    int64_t at[2];
    walk.places(i, at);
    const double draw = to_normal(key.block_of(at[1]), static_cast<int>(at[1] % 4));
    store<double>(out, type, at[0], std::fma(std, draw, mean));
  }
};

template <class W>
struct Dropout {
  Walk<3> walk;  // out, x, number
  Key key;
  double p;
  W scale;
  const void* x;
  void* out;
  DType type;
  GRADUS_ANYWHERE void operator()(int64_t i) const {
    int64_t at[3];
    walk.places(i, at);
    const bool kept = to_unit_float(key.block_of(at[2])[at[2] % 4]) >= p;
    store<W>(out, type, at[0], kept ? load<W>(x, type, at[1]) * scale : W{0});
  }
};

/// Row-major arrays: a thread makes the four elements of a block.
template <class T>
struct DropoutInOrder {
  Key key;
  double p;
  float scale;
  const T* x;
  T* out;
  int64_t count;
  GRADUS_ANYWHERE void operator()(int64_t i) const {
    const auto words = key.block_of(4 * i);
    for (int k = 0; k < 4 && 4 * i + k < count; ++k)
      out[4 * i + k] = T(to_unit_float(words[k]) >= p ? static_cast<float>(x[4 * i + k]) * scale : 0.0f);
  }
};

/// Channels-last arrays: a thread makes the four elements of a block, pixels of one channel.
template <class T>
struct DropoutChannelsLast {
  Key key;
  double p;
  float scale;
  const T* x;
  T* out;
  uint32_t channels, quads;  // of an image: groups of four pixels
  GRADUS_ANYWHERE void operator()(int64_t i) const {
    const auto number = static_cast<uint32_t>(i);
    const uint32_t quad = number / channels, c = number - quad * channels, image = quad / quads;
    const auto words = key.block_of(4 * ((int64_t{image} * channels + c) * quads + (quad - image * quads)));
    const int64_t first = 4 * int64_t{quad} * channels + c;
    GRADUS_UNROLL
    for (int k = 0; k < 4; ++k) {
      const int64_t at = first + int64_t{k} * channels;
      out[at] = T(to_unit_float(words[k]) >= p ? static_cast<float>(x[at]) * scale : 0.0f);
    }
  }
};

/// Whether a kernel that makes a block's four elements at a time did the work.
template <class T>
bool drop_by_fours(const Key& key, double p, const Tensor& x, Tensor& out) {
  const auto scale = static_cast<float>(1 / (1 - p));
  const T* const from = static_cast<const T*>(x.raw());
  T* const to = static_cast<T*>(out.raw());
  if (x.is_contiguous() && out.is_contiguous()) {
    for_each((x.numel() + 3) / 4, DropoutInOrder<T>{key, p, scale, from, to, x.numel()});
    return true;
  }
  if (!x.is_channels_last() || !out.is_channels_last()) return false;
  const int64_t pixels = x.shape()[2] * x.shape()[3];
  if (pixels % 4 != 0 || x.numel() / 4 > 0x7fffffff) return false;
  for_each(x.numel() / 4, DropoutChannelsLast<T>{key, p, scale, from, to, static_cast<uint32_t>(x.shape()[1]),
                                                 static_cast<uint32_t>(pixels / 4)});
  return true;
}

}  // namespace

void random_uniform(const RandomKey& key, double low, double high, Tensor& out) {
  const Walk<2> walk = make_walk<2>(out.shape(), {out.strides(), contiguous_strides(out.shape())});
  for_each(walk.count, Uniform{walk, Key(key), low, high, out.raw(), out.dtype()});
}

void random_normal(const RandomKey& key, double mean, double std, Tensor& out) {
  const Walk<2> walk = make_walk<2>(out.shape(), {out.strides(), contiguous_strides(out.shape())});
  for_each(walk.count, Normal{walk, Key(key), mean, std, out.raw(), out.dtype()});
}

void dropout(const RandomKey& key, double p, const Tensor& x, Tensor& out) {
  if (x.dtype() == DType::float32 && drop_by_fours<float>(Key(key), p, x, out)) return;
  if (x.dtype() == DType::bfloat16 && drop_by_fours<bfloat16>(Key(key), p, x, out)) return;
  const Walk<3> walk = make_walk<3>(out.shape(), {out.strides(), x.strides(), contiguous_strides(out.shape())});
  const auto run = [&]<class W>(W scale) {
    for_each(walk.count, Dropout<W>{walk, Key(key), p, scale, x.raw(), out.raw(), x.dtype()});
  };
  x.dtype() == DType::float64 ? run(1 / (1 - p)) : run(static_cast<float>(1 / (1 - p)));
}

}  // namespace gradus::kernels
