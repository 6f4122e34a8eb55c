// Batch, layer and group norm: sums over the elements of a group (a channel, a row, some channels of an image), then
// one pass over all elements. All arithmetic is in double: these kernels wait for memory.
#include "core/cuda/element.h"
#include "core/cuda/reduction.h"
#include "core/cuda/walk.h"
#include "core/kernels.h"

namespace gradus::kernels {
namespace {

using namespace cuda;

/// Strides that are 1 along dim and 0 elsewhere: an element's place is its position along dim.
Strides position_along(int dim, int rank) {
  Strides strides = Dims::filled(rank, 0);
  strides[dim] = 1;
  return strides;
}

Shape without_extent(Shape shape, int dim) {
  shape[dim] = 1;
  return shape;
}

/// Statistics [N, G], contiguous, as one vector.
Vector flat(const Tensor& statistics) {
  Vector vector(statistics, 0);
  vector.stride = 1;
  return vector;
}

/// Whether the elements next to each other in memory belong to one group.
template <int N>
bool along_groups(const Walk<N>& terms, int64_t group_stride, int64_t groups) {
  return groups == 1 || (terms.count > 1 && terms.stride[0][terms.rank - 1] < group_stride);
}

/// Where groups begin that are numbered along one dimension, and such as are numbered along two: `inner` in each image.
struct Starts {
  int64_t stride;
  GRADUS_ANYWHERE int64_t operator[](int64_t i) const { return i * stride; }
};
struct StartsInImages {
  int64_t image_stride, inner, inner_stride;
  GRADUS_ANYWHERE int64_t operator[](int64_t i) const { return i / inner * image_stride + i % inner * inner_stride; }
};

// ---- Statistics -----------------------------------------------------------------------------------------------------

/// Sums of x - x0 and its square, where x0 is the group's first element: the difference keeps its digits where the mean
/// is large beside the deviation.
template <class Starts>
struct MomentsTerm {
  using Value = Pair;
  Walk<1> terms;
  Starts starts;
  const void* x;
  DType type;
  double eps;
  Vector mean, rstd;

  GRADUS_ANYWHERE double origin(int64_t group) const { return load<double>(x, type, starts[group]); }
  GRADUS_ANYWHERE Pair none() const { return {0, 0}; }
  GRADUS_ANYWHERE Pair at(int64_t group, int64_t i) const {
    int64_t place[1];
    terms.places(i, place);
    const int64_t start = starts[group];
    const double d = load<double>(x, type, start + place[0]) - load<double>(x, type, start);
    return {d, d * d};
  }
  GRADUS_ANYWHERE Pair combine(const Pair& a, const Pair& b) const { return a + b; }
  GRADUS_ANYWHERE void finish(int64_t group, const Pair& total) const {
    const auto count = static_cast<double>(terms.count);
    const double shift = total.first / count, variance = total.second / count - shift * shift;
    mean.set(group, origin(group) + shift);
    rstd.set(group, 1 / std::sqrt((variance < 0 ? 0 : variance) + eps));
  }
};

void statistics(const Tensor& x, int group_dim, double eps, Tensor& mean, Tensor& rstd) {
  const Walk<1> terms = make_walk<1>(without_extent(x.shape(), group_dim), {x.strides()});
  const int64_t groups = x.shape()[group_dim], stride = x.strides()[group_dim];
  reduce_terms(groups, terms.count, along_groups(terms, stride, groups),
               MomentsTerm<Starts>{terms, Starts{stride}, x.raw(), x.dtype(), eps, Vector(mean, 0), Vector(rstd, 1)});
}

struct Normalize {
  Walk<4> walk;  // y, x, group, position of weight and bias
  const void* x;
  void* y;
  DType type;
  Vector mean, rstd, weight, bias;
  int64_t group_channels = 0;  // where positive, the group is place 2 and the channel, place 3, divided by this
  GRADUS_ANYWHERE void operator()(int64_t i) const {
    int64_t at[4];
    walk.places(i, at);
    const int64_t group = at[2] + (group_channels == 0 ? 0 : at[3] / group_channels);
    const double scale = rstd[group] * weight[at[3]];
    store<double>(y, type, at[0], (load<double>(x, type, at[1]) - mean[group]) * scale + bias[at[3]]);
  }
};

void normalize(const Tensor& x, int group_dim, int weight_dim, const Tensor& weight, const Tensor& bias,
               const Tensor& mean, const Tensor& rstd, Tensor& y) {
  const Walk<4> walk = make_walk<4>(
      x.shape(), {y.strides(), x.strides(), position_along(group_dim, x.rank()), position_along(weight_dim, x.rank())});
  for_each(walk.count, Normalize{walk, x.raw(), y.raw(), x.dtype(), Vector(mean, 0), Vector(rstd, 1), Vector(weight, 1),
                                 Vector(bias, 0)});
}

// ---- Gradients ------------------------------------------------------------------------------------------------------

/// Per output the sums of w gy and of w gy times the normalized x. Statistics belong to the output, or to the term;
/// then w is 1. Or an output is a channel of an image, whose statistics are those of `group_channels` of these.
template <class Starts>
struct GradientTerm {
  using Value = Pair;
  Walk<2> terms;  // gy, x
  Starts gy_starts, x_starts;
  const void *gy, *x;
  DType type;
  Vector mean, rstd, weight;
  bool per_output;
  Pair* totals;          // optional, [outputs]
  Vector first, second;  // optional, likewise
  int64_t group_channels = 1;

  GRADUS_ANYWHERE Pair none() const { return {0, 0}; }
  GRADUS_ANYWHERE Pair at(int64_t output, int64_t i) const {
    int64_t place[2];
    terms.places(i, place);
    const int64_t group = !per_output ? i : group_channels == 1 ? output : output / group_channels;
    const double g = load<double>(gy, type, gy_starts[output] + place[0]) * (per_output ? weight[i] : 1);
    const double normalized = (load<double>(x, type, x_starts[output] + place[1]) - mean[group]) * rstd[group];
    return {g, g * normalized};
  }
  GRADUS_ANYWHERE Pair combine(const Pair& a, const Pair& b) const { return a + b; }
  GRADUS_ANYWHERE void finish(int64_t output, const Pair& total) const {
    if (totals) totals[output] = total;
    if (first.data) first.set(output, total.first);
    if (second.data) second.set(output, total.second);
  }
};

/// gx = outer * rstd (inner * gy - (sum + normalized * product) / count)
struct InputGradient {
  Walk<5> walk;  // gx, gy, x, group, position of the inner weight
  const void *gy, *x;
  void* gx;
  DType type;
  Vector mean, rstd, outer, inner;
  const Pair* totals;
  double count;
  int64_t group_channels = 0;  // as in Normalize
  GRADUS_ANYWHERE void operator()(int64_t i) const {
    int64_t at[5];
    walk.places(i, at);
    const int64_t group = at[3] + (group_channels == 0 ? 0 : at[4] / group_channels);
    const double scale = rstd[group], normalized = (load<double>(x, type, at[2]) - mean[group]) * scale;
    const double g = load<double>(gy, type, at[1]) * inner[at[4]];
    const Pair total = totals[group];
    store<double>(gx, type, at[0],
                  outer[group] * scale * (g - total.first / count - normalized * total.second / count));
  }
};

void input_gradient(const Tensor& gy, const Tensor& x, int group_dim, int inner_dim, const Tensor& outer,
                    const Tensor& inner, const Tensor& mean, const Tensor& rstd, const Pair* totals, Tensor& gx) {
  if (x.numel() == 0) return;
  const Walk<5> walk =
      make_walk<5>(x.shape(), {gx.strides(), gy.strides(), x.strides(), position_along(group_dim, x.rank()),
                               position_along(inner_dim, x.rank())});
  const auto count = static_cast<double>(x.numel() / x.shape()[group_dim]);
  for_each(walk.count, InputGradient{walk, gy.raw(), x.raw(), gx.raw(), x.dtype(), Vector(mean, 0), Vector(rstd, 1),
                                     Vector(outer, 1), Vector(inner, 1), totals, count});
}

/// The sums over everything but output_dim.
void gradient_sums(const Tensor& gy, const Tensor& x, int output_dim, const Tensor& weight, const Tensor& mean,
                   const Tensor& rstd, bool per_output, Pair* totals, const Tensor& first, const Tensor& second) {
  const Walk<2> terms = make_walk<2>(without_extent(x.shape(), output_dim), {gy.strides(), x.strides()});
  const int64_t outputs = x.shape()[output_dim], gy_stride = gy.strides()[output_dim];
  reduce_terms(outputs, terms.count, along_groups(terms, gy_stride, outputs),
               GradientTerm<Starts>{terms, Starts{gy_stride}, Starts{x.strides()[output_dim]}, gy.raw(), x.raw(),
                                    x.dtype(), Vector(mean, 0), Vector(rstd, 1), Vector(weight, 1), per_output, totals,
                                    Vector(first, 0), Vector(second, 0)});
}

// ---- Group norm -----------------------------------------------------------------------------------------------------

/// Strides from which a walk over x [N, C, ...] learns `first` times the image's number, and the channel's.
Strides number_of_image(int64_t first, int rank) {
  Strides strides = Dims::filled(rank, 0);
  strides[0] = first;
  return strides;
}

/// Per group the sums over its channels, with their weights, of what GradientTerm summed for each channel.
struct GroupTerm {
  using Value = Pair;
  const Pair* of_channels;  // [N, C]
  int64_t groups, group_channels;
  Vector weight;
  Pair* totals;  // [N, G]

  GRADUS_ANYWHERE Pair none() const { return {0, 0}; }
  GRADUS_ANYWHERE Pair at(int64_t output, int64_t i) const {
    const Pair sums = of_channels[output * group_channels + i];
    const double w = weight[output % groups * group_channels + i];
    return {w * sums.first, w * sums.second};
  }
  GRADUS_ANYWHERE Pair combine(const Pair& a, const Pair& b) const { return a + b; }
  GRADUS_ANYWHERE void finish(int64_t output, const Pair& total) const { totals[output] = total; }
};

/// Per channel the sums of the same over the images: the gradients of bias and weight.
struct ChannelTerm {
  using Value = Pair;
  const Pair* of_channels;  // [N, C]
  int64_t channels;
  Vector gbias, gweight;

  GRADUS_ANYWHERE Pair none() const { return {0, 0}; }
  GRADUS_ANYWHERE Pair at(int64_t output, int64_t i) const { return of_channels[i * channels + output]; }
  GRADUS_ANYWHERE Pair combine(const Pair& a, const Pair& b) const { return a + b; }
  GRADUS_ANYWHERE void finish(int64_t output, const Pair& total) const {
    gbias.set(output, total.first);
    gweight.set(output, total.second);
  }
};

}  // namespace

void batch_norm_train(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps, Tensor& y, Tensor& mean,
                      Tensor& rstd) {
  statistics(x, 1, eps, mean, rstd);
  normalize(x, 1, 1, weight, bias, mean, rstd, y);
}

void batch_norm_apply(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& mean, const Tensor& rstd,
                      Tensor& y) {
  normalize(x, 1, 1, weight, bias, mean, rstd, y);
}

void batch_norm_backward(const Tensor& gy, const Tensor& x, const Tensor& weight, const Tensor& mean,
                         const Tensor& rstd, Tensor& gx, Tensor& gweight, Tensor& gbias) {
  const Storage scratch = Storage::allocate(static_cast<size_t>(x.shape()[1]) * sizeof(Pair));
  auto* totals = static_cast<Pair*>(scratch.data());
  gradient_sums(gy, x, 1, Tensor(), mean, rstd, true, totals, gbias, gweight);
  input_gradient(gy, x, 1, 1, weight, Tensor(), mean, rstd, totals, gx);
}

void layer_norm_forward(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps, Tensor& y, Tensor& mean,
                        Tensor& rstd) {
  statistics(x, 0, eps, mean, rstd);
  normalize(x, 0, 1, weight, bias, mean, rstd, y);
}

void layer_norm_backward(const Tensor& gy, const Tensor& x, const Tensor& weight, const Tensor& mean,
                         const Tensor& rstd, Tensor& gx, Tensor& gweight, Tensor& gbias) {
  const Storage scratch = Storage::allocate(static_cast<size_t>(x.shape()[0]) * sizeof(Pair));
  auto* totals = static_cast<Pair*>(scratch.data());
  gradient_sums(gy, x, 0, weight, mean, rstd, true, totals, Tensor(), Tensor());
  gradient_sums(gy, x, 1, Tensor(), mean, rstd, false, nullptr, gbias, gweight);
  input_gradient(gy, x, 0, 1, Tensor(), weight, mean, rstd, totals, gx);
}

void group_norm_forward(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps, Tensor& y, Tensor& mean,
                        Tensor& rstd) {
  if (x.numel() == 0) return;
  const int64_t images = x.shape()[0], groups = mean.shape()[1], group_channels = x.shape()[1] / groups;
  Shape group = without_extent(x.shape(), 0);
  group[1] = group_channels;
  const Walk<1> terms = make_walk<1>(group, {x.strides()});
  const StartsInImages starts{x.strides()[0], groups, group_channels * x.strides()[1]};
  reduce_terms(images * groups, terms.count, true,
               MomentsTerm<StartsInImages>{terms, starts, x.raw(), x.dtype(), eps, flat(mean), flat(rstd)});
  const Walk<4> walk = make_walk<4>(
      x.shape(), {y.strides(), x.strides(), number_of_image(groups, x.rank()), position_along(1, x.rank())});
  for_each(walk.count, Normalize{walk, x.raw(), y.raw(), x.dtype(), flat(mean), flat(rstd), Vector(weight, 1),
                                 Vector(bias, 0), group_channels});
}

void group_norm_backward(const Tensor& gy, const Tensor& x, const Tensor& weight, const Tensor& mean,
                         const Tensor& rstd, Tensor& gx, Tensor& gweight, Tensor& gbias) {
  const int64_t images = x.shape()[0], channels = x.shape()[1], groups = mean.shape()[1];
  const int64_t group_channels = channels / groups;
  const Storage scratch = Storage::allocate(static_cast<size_t>(images * (channels + groups)) * sizeof(Pair));
  auto* of_channels = static_cast<Pair*>(scratch.data());
  Pair* of_groups = of_channels + images * channels;
  Shape pixels = without_extent(x.shape(), 0);
  pixels[1] = 1;
  const Walk<2> terms = make_walk<2>(pixels, {gy.strides(), x.strides()});
  const bool neighbors = along_groups(terms, gy.strides()[1], channels);
  reduce_terms(images * channels, terms.count, neighbors,
               GradientTerm<StartsInImages>{terms, StartsInImages{gy.strides()[0], channels, gy.strides()[1]},
                                            StartsInImages{x.strides()[0], channels, x.strides()[1]}, gy.raw(), x.raw(),
                                            x.dtype(), flat(mean), flat(rstd), Vector(Tensor(), 1), true, of_channels,
                                            Vector(Tensor(), 0), Vector(Tensor(), 0), group_channels});
  reduce_terms(images * groups, group_channels, true,
               GroupTerm{of_channels, groups, group_channels, Vector(weight, 1), of_groups});
  reduce_terms(channels, images, false, ChannelTerm{of_channels, channels, Vector(gbias, 0), Vector(gweight, 0)});
  if (x.numel() == 0) return;
  const Walk<5> walk = make_walk<5>(x.shape(), {gx.strides(), gy.strides(), x.strides(),
                                                number_of_image(groups, x.rank()), position_along(1, x.rank())});
  const auto count = static_cast<double>(x.numel() / (images * groups));
  for_each(walk.count, InputGradient{walk, gy.raw(), x.raw(), gx.raw(), x.dtype(), flat(mean), flat(rstd),
                                     Vector(Tensor(), 1), Vector(weight, 1), of_groups, count, group_channels});
}

}  // namespace gradus::kernels
