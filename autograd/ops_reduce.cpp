// Sums, means and extrema over dimensions. A gradient of a reduction is a broadcast view, without a copy.
#include "autograd/autocast.h"
#include "autograd/gradients.h"
#include "autograd/record.h"

namespace gradus {
namespace {

/// max and min: gy goes in equal shares to the elements that attain the extremum.
void share_gradient(const Var& gy, Inputs in, Curvature h, const Tensor& x, const Tensor& y, const Dims& dims) {
  const Tensor extremum = reshape(y, kept_shape(x.shape(), dims));
  const Tensor attained = cast(equal(x, extremum), x.dtype());
  const Tensor share = attained / sum(attained, dims, true);
  in[0] = expand_reduced(gy, x.shape(), dims) * share;
  if (h) h[0] = expand_reduced(h.y(), x.shape(), dims) * square(share);
}

auto reduction(const Dims& dims, bool keep_dims) {
  return [&dims, keep_dims] { return Attributes{{"dims", dims}, {"keep_dims", int64_t{keep_dims}}}; };
}

}  // namespace

Shape kept_shape(const Shape& shape, const Dims& dims) {
  Shape kept = dims.empty() ? Shape::filled(shape.rank(), 1) : shape;
  for (int64_t dim : dims) kept[normalize_dim("sum", dim, shape.rank())] = 1;
  return kept;
}

Var expand_reduced(const Var& gy, const Shape& shape, const Dims& dims) {
  return expand(reshape(gy, kept_shape(shape, dims)), shape);
}

Var sum(const Var& x, const Dims& dims, bool keep_dims) {
  if (widens(x)) return sum(cast(x, DType::float32), dims, keep_dims);
  return record("sum", sum(x.value(), dims, keep_dims), {x},
                selects([dims](const Var& gy, Inputs in) { in[0] = expand_reduced(gy, in.shape(0), dims); }),
                reduction(dims, keep_dims));
}

Var mean(const Var& x, const Dims& dims, bool keep_dims) {
  Tensor y = mean(x.value(), dims, keep_dims, widens(x) ? DType::float32 : x.dtype());
  const double share = static_cast<double>(y.numel()) / static_cast<double>(x.value().numel());
  return record(
      "mean", std::move(y), {x},
      [dims, share](const Var& gy, Inputs in, Curvature h) {
        const auto spread = [&](const Var& v) { return expand_reduced(cast(v, in.dtype(0)), in.shape(0), dims); };
        in[0] = spread(gy * share);
        if (h) h[0] = spread(h.y() * (share * share));
      },
      reduction(dims, keep_dims));
}

Var max(const Var& x, const Dims& dims, bool keep_dims) {
  Tensor y = max(x.value(), dims, keep_dims);
  return record(
      "max", y, {x},
      [x = Saved(x), y = SavedOutput(y), dims](const Var& gy, Inputs in, Curvature h) {
        share_gradient(gy, in, h, x.get(in).value(), y.get(in).value(), dims);
      },
      reduction(dims, keep_dims));
}

Var min(const Var& x, const Dims& dims, bool keep_dims) {
  Tensor y = min(x.value(), dims, keep_dims);
  return record(
      "min", y, {x},
      [x = Saved(x), y = SavedOutput(y), dims](const Var& gy, Inputs in, Curvature h) {
        share_gradient(gy, in, h, x.get(in).value(), y.get(in).value(), dims);
      },
      reduction(dims, keep_dims));
}

Var logsumexp(const Var& x, const Dims& dims, bool keep_dims) {
  if (widens(x)) return logsumexp(cast(x, DType::float32), dims, keep_dims);
  Tensor y = logsumexp(x.value(), dims, keep_dims);
  return record(
      "logsumexp", y, {x},
      [x = Saved(x), y = SavedOutput(y), dims](const Var& gy, Inputs in, Curvature h) {
        const auto spread = [&](const Var& v) { return expand_reduced(v, in.shape(0), dims); };
        const Var share = exp(x.get(in) - spread(y.get(in)));  // the softmax
        in[0] = spread(gy) * share;
        if (h) h[0] = spread(h.y()) * square(share) + spread(gy) * (share - square(share));
      },
      reduction(dims, keep_dims));
}

Var variance(const Var& x, const Dims& dims, bool keep_dims) {
  return mean(square(x - mean(x, dims, true)), dims, keep_dims);
}

Var sum_to(const Var& x, const Shape& shape) {
  if (x.shape() == shape) return x;
  return record("sum_to", sum_to(x.value(), shape), {x},
                selects([](const Var& gy, Inputs in) { in[0] = expand(gy, in.shape(0)); }));
}

}  // namespace gradus
