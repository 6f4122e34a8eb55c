// Batch norm and layer norm: sums over the elements of a group (a channel, or a row), then one pass over all elements.
// All arithmetic is in double: these kernels wait for memory.
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

/// Whether the elements next to each other in memory belong to one group.
template <int N>
bool along_groups(const Walk<N>& terms, int64_t group_stride, int64_t groups) {
  return groups == 1 || (terms.count > 1 && terms.stride[0][terms.rank - 1] < group_stride);
}

// ---- Statistics -----------------------------------------------------------------------------------------------------

/// Sums of x - x0 and its square, where x0 is the group's first element: the difference keeps its digits where the mean
/// is large beside the deviation.
struct MomentsTerm {
  using Value = Pair;
  Walk<1> terms;
  int64_t group_stride;
  const void* x;
  DType type;
  double eps;
  Vector mean, rstd;

  GRADUS_ANYWHERE double origin(int64_t group) const { return load<double>(x, type, group * group_stride); }
  GRADUS_ANYWHERE Pair none() const { return {0, 0}; }
  GRADUS_ANYWHERE Pair at(int64_t group, int64_t i) const {
    int64_t place[1];
    terms.places(i, place);
    const double d = load<double>(x, type, group * group_stride + place[0]) - origin(group);
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
               MomentsTerm{terms, stride, x.raw(), x.dtype(), eps, Vector(mean, 0), Vector(rstd, 1)});
}

struct Normalize {
  Walk<4> walk;  // y, x, group, position of weight and bias
  const void* x;
  void* y;
  DType type;
  Vector mean, rstd, weight, bias;
  GRADUS_ANYWHERE void operator()(int64_t i) const {
    int64_t at[4];
    walk.places(i, at);
    const double scale = rstd[at[2]] * weight[at[3]];
    store<double>(y, type, at[0], (load<double>(x, type, at[1]) - mean[at[2]]) * scale + bias[at[3]]);
  }
};

void normalize(const Tensor& x, int group_dim, int weight_dim, const Tensor& weight, const Tensor& bias,
               const Tensor& mean, const Tensor& rstd, Tensor& y) {
  const Walk<4> walk = make_walk<4>(x.shape(), {y.strides(), x.strides(), position_along(group_dim, x.rank()),
                                                position_along(weight_dim, x.rank())});
  for_each(walk.count, Normalize{walk, x.raw(), y.raw(), x.dtype(), Vector(mean, 0), Vector(rstd, 1),
                                 Vector(weight, 1), Vector(bias, 0)});
}

// ---- Gradients ------------------------------------------------------------------------------------------------------

/// Per output the sums of w gy and of w gy times the normalized x. Statistics belong to the output, or to the term;
/// then w is 1.
struct GradientTerm {
  using Value = Pair;
  Walk<2> terms;  // gy, x
  int64_t gy_stride, x_stride;
  const void *gy, *x;
  DType type;
  Vector mean, rstd, weight;
  bool per_output;
  Pair* totals;          // optional, [outputs]
  Vector first, second;  // optional, likewise

  GRADUS_ANYWHERE Pair none() const { return {0, 0}; }
  GRADUS_ANYWHERE Pair at(int64_t output, int64_t i) const {
    int64_t place[2];
    terms.places(i, place);
    const int64_t group = per_output ? output : i;
    const double g = load<double>(gy, type, output * gy_stride + place[0]) * (per_output ? weight[i] : 1);
    const double normalized = (load<double>(x, type, output * x_stride + place[1]) - mean[group]) * rstd[group];
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
  GRADUS_ANYWHERE void operator()(int64_t i) const {
    int64_t at[5];
    walk.places(i, at);
    const int64_t group = at[3];
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
               GradientTerm{terms, gy_stride, x.strides()[output_dim], gy.raw(), x.raw(), x.dtype(), Vector(mean, 0),
                            Vector(rstd, 1), Vector(weight, 1), per_output, totals, Vector(first, 0),
                            Vector(second, 0)});
}

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

}  // namespace gradus::kernels
