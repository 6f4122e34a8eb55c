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

/// Row-major arrays of float32: a thread makes the four elements of a block.
struct DropoutInOrder {
  Key key;
  double p;
  float scale;
  const float* x;
  float* out;
  int64_t count;
  GRADUS_ANYWHERE void operator()(int64_t i) const {
    const auto words = key.block_of(4 * i);
    for (int k = 0; k < 4 && 4 * i + k < count; ++k)
      out[4 * i + k] = to_unit_float(words[k]) >= p ? x[4 * i + k] * scale : 0.0f;
  }
};

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
  if (x.dtype() == DType::float32 && x.is_contiguous() && out.is_contiguous())
    return for_each((x.numel() + 3) / 4,
                    DropoutInOrder{Key(key), p, static_cast<float>(1 / (1 - p)), static_cast<const float*>(x.raw()),
                                   static_cast<float*>(out.raw()), x.numel()});
  const Walk<3> walk =
      make_walk<3>(out.shape(), {out.strides(), x.strides(), contiguous_strides(out.shape())});
  const auto run = [&]<class W>(W scale) {
    for_each(walk.count, Dropout<W>{walk, Key(key), p, scale, x.raw(), out.raw(), x.dtype()});
  };
  x.dtype() == DType::float64 ? run(1 / (1 - p)) : run(static_cast<float>(1 / (1 - p)));
}

}  // namespace gradus::kernels
