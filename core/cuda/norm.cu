// Batch, layer and group norm: sums over the elements of a group (a channel, a row, some channels of an image), then
// one pass over all elements. All arithmetic is in double.
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

/// Where groups begin, `inner` of which there are in each image.
struct Starts {
  int64_t image_stride, inner, inner_stride;
  GRADUS_ANYWHERE int64_t operator[](int64_t i) const { return i / inner * image_stride + i % inner * inner_stride; }
};

// ---- Statistics -----------------------------------------------------------------------------------------------------

/// Sums of x - x0 and its square, where x0 is the group's first element: the difference keeps its digits where the mean
/// is large beside the deviation.
template <class T>
struct MomentsTerm {
  using Value = Pair;
  struct Start {
    const T* x;
    double origin;
  };
  Walk<1> terms;
  Starts starts;
  const T* x;
  double eps;
  Vector mean, rstd;

  GRADUS_ANYWHERE Start start(int64_t group) const { return {x + starts[group], wide(x[starts[group]])}; }
  GRADUS_ANYWHERE Pair none() const { return {0, 0}; }
  GRADUS_ANYWHERE Pair at(const Start& start, int64_t i) const {
    int64_t place[1];
    terms.places(i, place);
    const double d = wide(start.x[place[0]]) - start.origin;
    return {d, d * d};
  }
  GRADUS_ANYWHERE Pair combine(const Pair& a, const Pair& b) const { return a + b; }
  GRADUS_ANYWHERE void finish(int64_t group, const Pair& total) const {
    const auto count = static_cast<double>(terms.count);
    const double shift = total.first / count, variance = total.second / count - shift * shift;
    mean.set(group, start(group).origin + shift);
    rstd.set(group, 1 / std::sqrt((variance < 0 ? 0 : variance) + eps));
  }
};

/// Of `groups` groups of x, whose elements the walk `terms` numbers.
void statistics(const Tensor& x, int64_t groups, const Walk<1>& terms, const Starts& starts, double eps, Tensor& mean,
                Tensor& rstd) {
  visit_floating(x.dtype(), [&]<class T>(T) {
    reduce_terms(groups, terms.count, along_groups(terms, starts.inner_stride, groups),
                 MomentsTerm<T>{terms, starts, static_cast<const T*>(x.raw()), eps, Vector(mean, 0), Vector(rstd, 1)},
                 neighbours_at_once<T>);
  });
}

void statistics(const Tensor& x, int group_dim, double eps, Tensor& mean, Tensor& rstd) {
  const int64_t groups = x.shape()[group_dim];
  statistics(x, groups, make_walk<1>(without_extent(x.shape(), group_dim), {x.strides()}),
             Starts{0, groups, x.strides()[group_dim]}, eps, mean, rstd);
}

// ---- One pass over all elements -------------------------------------------------------------------------------------

/// The group of an element of channel c of image n: n in_image, plus c / channels unless this is 0.
struct Grouping {
  int64_t in_image, channels;
  GRADUS_ANYWHERE int64_t of(int64_t before, int64_t c) const {
    return before + (channels == 1 ? c : channels == 0 ? 0 : c / channels);
  }
};
constexpr Grouping by_channels{0, 1}, by_rows{1, 0};

/// Channels-last memory in patches of four pixels' `width` neighbouring channels, one for a thread: it has four loads
/// under way at least, and what belongs to a channel serves four elements.
template <class T>
struct Patches {
  static constexpr int width = 16 / sizeof(T), pixels = 4;
  struct alignas(16) Pack {
    T at[width];
  };
  struct At {
    int64_t pack, image, channel;  // the first ones
  };
  int64_t count = 0;                      // 0 where the memory of these tensors cannot be divided so
  uint32_t packs = 0, image_patches = 0;  // packs of a pixel; patches of an image by pixels
  bool by_image;                          // or all images are one

  Patches(const Grouping& groups, std::initializer_list<const Tensor*> tensors) : by_image(groups.in_image != 0) {
    const Shape& shape = (*tensors.begin())->shape();
    for (const Tensor* x : tensors)
      if (!x->is_channels_last() || reinterpret_cast<uintptr_t>(x->raw()) % sizeof(Pack) != 0) return;
    const int64_t together = (by_image ? 1 : shape[0]) * shape[2] * shape[3], elements = numel(shape);
    if (shape[1] % width != 0 || together % pixels != 0 || elements > 0x7fffffff) return;
    packs = static_cast<uint32_t>(shape[1] / width);
    image_patches = static_cast<uint32_t>(together / pixels);
    count = elements / (width * pixels);
  }
  GRADUS_ANYWHERE At at(int64_t i) const {
    const auto number = static_cast<uint32_t>(i);
    const uint32_t patch = number / packs, pack = number - patch * packs;
    return {int64_t{patch} * pixels * packs + pack, by_image ? patch / image_patches : 0, int64_t{pack} * width};
  }
};

template <class T>
struct Normalize {
  Walk<4> walk;  // y, x, the image's groups, channel
  Grouping groups;
  const T* x;
  T* y;
  Parameters<T> mean, rstd, weight, bias;
  GRADUS_ANYWHERE void operator()(int64_t i) const {
    int64_t at[4];
    walk.places(i, at);
    const int64_t group = groups.of(at[2], at[3]);
    const double scale = rstd[group] * weight[at[3]];
    y[at[0]] = ref::narrow<T>((wide(x[at[1]]) - mean[group]) * scale + bias[at[3]]);
  }
};

template <class T>
struct NormalizePatches {
  using Pack = typename Patches<T>::Pack;
  Patches<T> patches;
  Grouping groups;
  const Pack* x;
  Pack* y;
  Parameters<T> mean, rstd, weight, bias;
  GRADUS_ANYWHERE void operator()(int64_t i) const {
    const auto at = patches.at(i);
    Pack some[Patches<T>::pixels];
    GRADUS_UNROLL
    for (int p = 0; p < Patches<T>::pixels; ++p) some[p] = x[at.pack + p * patches.packs];
    GRADUS_UNROLL
    for (int k = 0; k < Patches<T>::width; ++k) {
      const int64_t c = at.channel + k, group = groups.of(at.image * groups.in_image, c);
      const double middle = mean[group], scale = rstd[group] * weight[c], shift = bias[c];
      GRADUS_UNROLL
      for (Pack& pack : some) pack.at[k] = ref::narrow<T>((wide(pack.at[k]) - middle) * scale + shift);
    }
    GRADUS_UNROLL
    for (int p = 0; p < Patches<T>::pixels; ++p) y[at.pack + p * patches.packs] = some[p];
  }
};

/// Strides from which a walk over x [N, C, ...] learns `first` times the image's number.
Strides number_of_image(int64_t first, int rank) {
  Strides strides = Dims::filled(rank, 0);
  strides[0] = first;
  return strides;
}

void normalize(const Tensor& x, const Grouping& groups, const Tensor& weight, const Tensor& bias, const Tensor& mean,
               const Tensor& rstd, Tensor& y) {
  visit_floating(x.dtype(), [&]<class T>(T) {
    using Pack = typename Patches<T>::Pack;
    const Parameters<T> means(mean, 0), rstds(rstd, 1), weights(weight, 1), biases(bias, 0);
    if (const Patches<T> patches(groups, {&x, &y}); patches.count > 0)
      return for_each(patches.count, NormalizePatches<T>{patches, groups, static_cast<const Pack*>(x.raw()),
                                                         static_cast<Pack*>(y.raw()), means, rstds, weights, biases});
    const Walk<4> walk = make_walk<4>(
        x.shape(), {y.strides(), x.strides(), number_of_image(groups.in_image, x.rank()), position_along(1, x.rank())});
    for_each(walk.count, Normalize<T>{walk, groups, static_cast<const T*>(x.raw()), static_cast<T*>(y.raw()), means,
                                      rstds, weights, biases});
  });
}

// ---- Gradients ------------------------------------------------------------------------------------------------------

/// Per output the sums of w gy and of w gy times the normalized x; what goes to `totals` is divided by `count`.
/// Statistics belong to the term; or, `per_output`, to the output, or to `group_channels` of these.
template <class T>
struct GradientTerm {
  using Value = Pair;
  struct Start {
    const T *gy, *x;
    double mean, rstd;
  };
  struct Loaded {
    T gy, x;
    typename Parameters<T>::Element weight = 1, mean = 0, rstd = 0;
  };
  Walk<2> terms;  // gy, x
  Starts gy_starts, x_starts;
  const T *gy, *x;
  Parameters<T> mean, rstd, weight;
  bool per_output;
  int64_t group_channels;
  Pair* totals;  // optional, [outputs]
  double count;
  Vector first, second;  // optional, likewise

  GRADUS_ANYWHERE Start start(int64_t output) const {
    const int64_t group = !per_output ? 0 : output / group_channels;
    return {gy + gy_starts[output], x + x_starts[output], mean[group], rstd[group]};
  }
  GRADUS_ANYWHERE Pair none() const { return {0, 0}; }
  GRADUS_ANYWHERE Loaded at(const Start& start, int64_t i) const {
    int64_t place[2];
    terms.places(i, place);
    Loaded term{.gy = start.gy[place[0]], .x = start.x[place[1]]};
    if (weight.data) term.weight = weight.data[i * weight.stride];
    if (!per_output) term.mean = mean.data[i * mean.stride], term.rstd = rstd.data[i * rstd.stride];
    return term;
  }
  GRADUS_ANYWHERE Pair value(const Start& start, const Loaded& term) const {
    const double g = wide(term.gy) * term.weight;
    const double middle = per_output ? start.mean : term.mean, scale = per_output ? start.rstd : term.rstd;
    return {g, g * ((wide(term.x) - middle) * scale)};
  }
  GRADUS_ANYWHERE Pair combine(const Pair& a, const Pair& b) const { return a + b; }
  GRADUS_ANYWHERE void finish(int64_t output, const Pair& total) const {
    if (totals) totals[output] = {total.first / count, total.second / count};
    if (first.data) first.set(output, total.first);
    if (second.data) second.set(output, total.second);
  }
};

/// gx = outer * rstd (inner * gy - (mean of w gy + normalized * mean of w gy normalized))
template <class T>
struct InputGradient {
  Grouping groups;
  Parameters<T> mean, rstd, outer, inner;
  const Pair* totals;

  /// Of the elements of a channel.
  struct Channel {
    double mean, rstd, inner, scale;
    Pair total;
    GRADUS_ANYWHERE T of(T gy, T x) const {
      const double normalized = (wide(x) - mean) * rstd;
      return ref::narrow<T>(scale * (wide(gy) * inner - total.first - normalized * total.second));
    }
  };
  GRADUS_ANYWHERE Channel channel(int64_t before, int64_t c) const {
    const int64_t group = groups.of(before, c);
    return {mean[group], rstd[group], inner[c], outer[group] * rstd[group], totals[group]};
  }
};

template <class T>
struct InputGradientByElements {
  InputGradient<T> gradient;
  Walk<5> walk;  // gx, gy, x, the image's groups, channel
  const T *gy, *x;
  T* gx;
  GRADUS_ANYWHERE void operator()(int64_t i) const {
    int64_t at[5];
    walk.places(i, at);
    gx[at[0]] = gradient.channel(at[3], at[4]).of(gy[at[1]], x[at[2]]);
  }
};

template <class T>
struct InputGradientByPatches {
  using Pack = typename Patches<T>::Pack;
  InputGradient<T> gradient;
  Patches<T> patches;
  const Pack *gy, *x;
  Pack* gx;
  GRADUS_ANYWHERE void operator()(int64_t i) const {
    const auto at = patches.at(i);
    Pack from[Patches<T>::pixels], of[Patches<T>::pixels];
    GRADUS_UNROLL
    for (int p = 0; p < Patches<T>::pixels; ++p) {
      from[p] = gy[at.pack + p * patches.packs];
      of[p] = x[at.pack + p * patches.packs];
    }
    GRADUS_UNROLL
    for (int k = 0; k < Patches<T>::width; ++k) {
      const auto channel = gradient.channel(at.image * gradient.groups.in_image, at.channel + k);
      GRADUS_UNROLL
      for (int p = 0; p < Patches<T>::pixels; ++p) from[p].at[k] = channel.of(from[p].at[k], of[p].at[k]);
    }
    GRADUS_UNROLL
    for (int p = 0; p < Patches<T>::pixels; ++p) gx[at.pack + p * patches.packs] = from[p];
  }
};

/// totals: per group the means that GradientTerm or GroupTerm made.
void input_gradient(const Tensor& gy, const Tensor& x, const Grouping& groups, const Tensor& outer, const Tensor& inner,
                    const Tensor& mean, const Tensor& rstd, const Pair* totals, Tensor& gx) {
  visit_floating(x.dtype(), [&]<class T>(T) {
    using Pack = typename Patches<T>::Pack;
    const InputGradient<T> gradient{
        groups, Parameters<T>(mean, 0), Parameters<T>(rstd, 1), Parameters<T>(outer, 1), Parameters<T>(inner, 1),
        totals};
    if (const Patches<T> patches(groups, {&gx, &gy, &x}); patches.count > 0)
      return for_each(patches.count,
                      InputGradientByPatches<T>{gradient, patches, static_cast<const Pack*>(gy.raw()),
                                                static_cast<const Pack*>(x.raw()), static_cast<Pack*>(gx.raw())});
    const Walk<5> walk =
        make_walk<5>(x.shape(), {gx.strides(), gy.strides(), x.strides(), number_of_image(groups.in_image, x.rank()),
                                 position_along(1, x.rank())});
    for_each(walk.count, InputGradientByElements<T>{gradient, walk, static_cast<const T*>(gy.raw()),
                                                    static_cast<const T*>(x.raw()), static_cast<T*>(gx.raw())});
  });
}

/// The sums over everything but output_dim, whose means go to totals.
void gradient_sums(const Tensor& gy, const Tensor& x, int output_dim, const Tensor& weight, const Tensor& mean,
                   const Tensor& rstd, bool per_output, Pair* totals, const Tensor& first, const Tensor& second) {
  const Walk<2> terms = make_walk<2>(without_extent(x.shape(), output_dim), {gy.strides(), x.strides()});
  const int64_t outputs = x.shape()[output_dim], gy_stride = gy.strides()[output_dim];
  visit_floating(x.dtype(), [&]<class T>(T) {
    reduce_terms(outputs, terms.count, along_groups(terms, gy_stride, outputs),
                 GradientTerm<T>{.terms = terms,
                                 .gy_starts = {0, outputs, gy_stride},
                                 .x_starts = {0, outputs, x.strides()[output_dim]},
                                 .gy = static_cast<const T*>(gy.raw()),
                                 .x = static_cast<const T*>(x.raw()),
                                 .mean = Parameters<T>(mean, 0),
                                 .rstd = Parameters<T>(rstd, 1),
                                 .weight = Parameters<T>(weight, 1),
                                 .per_output = per_output,
                                 .group_channels = 1,
                                 .totals = totals,
                                 .count = static_cast<double>(terms.count),
                                 .first = Vector(first, 0),
                                 .second = Vector(second, 0)},
                 neighbours_at_once<T>);
  });
}

// ---- Group norm -----------------------------------------------------------------------------------------------------

/// Per group the sums over its channels, with their weights, of what GradientTerm summed for each channel, divided by
/// the group's number of elements.
struct GroupTerm {
  using Value = Pair;
  const Pair* of_channels;  // [N, C]
  int64_t groups, group_channels;
  Vector weight;
  double count;
  Pair* totals;  // [N, G]

  GRADUS_ANYWHERE Pair none() const { return {0, 0}; }
  GRADUS_ANYWHERE Pair at(int64_t output, int64_t i) const {
    const Pair sums = of_channels[output * group_channels + i];
    const double w = weight[output % groups * group_channels + i];
    return {w * sums.first, w * sums.second};
  }
  GRADUS_ANYWHERE Pair combine(const Pair& a, const Pair& b) const { return a + b; }
  GRADUS_ANYWHERE void finish(int64_t output, const Pair& total) const {
    totals[output] = {total.first / count, total.second / count};
  }
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
  normalize(x, by_channels, weight, bias, mean, rstd, y);
}

void batch_norm_apply(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& mean, const Tensor& rstd,
                      Tensor& y) {
  normalize(x, by_channels, weight, bias, mean, rstd, y);
}

void batch_norm_backward(const Tensor& gy, const Tensor& x, const Tensor& weight, const Tensor& mean,
                         const Tensor& rstd, Tensor& gx, Tensor& gweight, Tensor& gbias) {
  const Storage scratch = Storage::allocate(static_cast<size_t>(x.shape()[1]) * sizeof(Pair));
  auto* totals = static_cast<Pair*>(scratch.data());
  gradient_sums(gy, x, 1, Tensor(), mean, rstd, true, totals, gbias, gweight);
  input_gradient(gy, x, by_channels, weight, Tensor(), mean, rstd, totals, gx);
}

void layer_norm_forward(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps, Tensor& y, Tensor& mean,
                        Tensor& rstd) {
  statistics(x, 0, eps, mean, rstd);
  normalize(x, by_rows, weight, bias, mean, rstd, y);
}

void layer_norm_backward(const Tensor& gy, const Tensor& x, const Tensor& weight, const Tensor& mean,
                         const Tensor& rstd, Tensor& gx, Tensor& gweight, Tensor& gbias) {
  const Storage scratch = Storage::allocate(static_cast<size_t>(x.shape()[0]) * sizeof(Pair));
  auto* totals = static_cast<Pair*>(scratch.data());
  gradient_sums(gy, x, 0, weight, mean, rstd, true, totals, Tensor(), Tensor());
  gradient_sums(gy, x, 1, Tensor(), mean, rstd, false, nullptr, gbias, gweight);
  input_gradient(gy, x, by_rows, Tensor(), weight, mean, rstd, totals, gx);
}

void group_norm_forward(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps, Tensor& y, Tensor& mean,
                        Tensor& rstd) {
  if (x.numel() == 0) return;
  const int64_t images = x.shape()[0], groups = mean.shape()[1], group_channels = x.shape()[1] / groups;
  Shape group = without_extent(x.shape(), 0);
  group[1] = group_channels;
  statistics(x, images * groups, make_walk<1>(group, {x.strides()}),
             Starts{x.strides()[0], groups, group_channels * x.strides()[1]}, eps, mean, rstd);
  normalize(x, Grouping{groups, group_channels}, weight, bias, mean, rstd, y);
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
  visit_floating(x.dtype(), [&]<class T>(T) {
    reduce_terms(images * channels, terms.count, along_groups(terms, gy.strides()[1], channels),
                 GradientTerm<T>{.terms = terms,
                                 .gy_starts = {gy.strides()[0], channels, gy.strides()[1]},
                                 .x_starts = {x.strides()[0], channels, x.strides()[1]},
                                 .gy = static_cast<const T*>(gy.raw()),
                                 .x = static_cast<const T*>(x.raw()),
                                 .mean = Parameters<T>(mean, 0),
                                 .rstd = Parameters<T>(rstd, 1),
                                 .weight = Parameters<T>(Tensor(), 1),
                                 .per_output = true,
                                 .group_channels = group_channels,
                                 .totals = of_channels,
                                 .count = 1,
                                 .first = Vector(Tensor(), 0),
                                 .second = Vector(Tensor(), 0)},
                 neighbours_at_once<T>);
  });
  const auto count = static_cast<double>(group_channels * terms.count);
  reduce_terms(images * groups, group_channels, true,
               GroupTerm{of_channels, groups, group_channels, Vector(weight, 1), count, of_groups});
  reduce_terms(channels, images, false, ChannelTerm{of_channels, channels, Vector(gbias, 0), Vector(gweight, 0)});
  input_gradient(gy, x, Grouping{groups, group_channels}, Tensor(), weight, mean, rstd, of_groups, gx);
}

}  // namespace gradus::kernels
