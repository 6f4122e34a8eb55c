#include "layers/conditioning.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "core/error.h"
#include "core/linalg.h"
#include "layers/conv.h"
#include "layers/linear.h"

namespace gradus {
namespace {

constexpr double norm_eps = 1e-5;

/// The windows of a convolution as rows: [N * H' * W', in * kh * kw].
Tensor windows(const Tensor& x, const Conv2dOptions& o) {
  const Sides sides = o.padding.resolve({x.size(2), x.size(3)}, o.kernel, o.stride, o.dilation);
  const Tensor padded = pad(x, {0, 0, sides[0], sides[1]}, {0, 0, sides[2], sides[3]});
  const auto positions = [](int64_t extent, int64_t kernel, int64_t stride, int64_t dilation) {
    return (extent - (kernel - 1) * dilation - 1) / stride + 1;
  };
  const int64_t h = positions(padded.size(2), o.kernel.height, o.stride.height, o.dilation.height);
  const int64_t w = positions(padded.size(3), o.kernel.width, o.stride.width, o.dilation.width);
  std::vector<Tensor> taps;
  for (int64_t i = 0; i < o.kernel.height; ++i)
    for (int64_t j = 0; j < o.kernel.width; ++j) {
      const int64_t top = i * o.dilation.height, left = j * o.dilation.width;
      const Tensor rows = slice(padded, 2, top, top + (h - 1) * o.stride.height + 1, o.stride.height);
      taps.push_back(slice(rows, 3, left, left + (w - 1) * o.stride.width + 1, o.stride.width));
    }
  const Tensor all = permute(stack(taps, 1), {0, 3, 4, 2, 1});  // [N, H', W', in, taps]
  return reshape(all, {x.size(0) * h * w, x.size(1) * static_cast<int64_t>(taps.size())});
}

Tensor thinned(const Tensor& rows, int64_t most) {
  const int64_t step = (rows.size(0) + most - 1) / most;
  return step > 1 ? slice(rows, 0, 0, rows.size(0), step) : rows;
}

}  // namespace

double condition_number(const Tensor& hidden) {
  if (hidden.rank() != 2 || hidden.numel() == 0)
    fail(ErrorKind::shape, "condition_number", "expects a matrix [rows, inputs], got ", hidden.shape());
  const Tensor ones = Tensor::ones({hidden.size(0), 1}, DType::float64);
  const Tensor parts[] = {ones, cast(hidden, DType::float64)};
  const Tensor extended = concat(parts, 1);
  const bool wide = extended.size(1) > extended.size(0);
  const Tensor other = transpose(extended, 0, 1);
  const std::vector<double> squares =
      symmetric_eigen(wide ? matmul(extended, other) : matmul(other, extended)).values.to_vector<double>();
  constexpr double zero = 1e-14;  // of a square
  const double largest = squares.back();
  const auto smallest = std::find_if(squares.begin(), squares.end(), [&](double s) { return s > zero * largest; });
  return std::sqrt(largest / *smallest);
}

std::vector<LayerConditioning> conditioning(Module& model, const Tensor& input, const ConditioningOptions& options) {
  if (options.max_rows < 1)
    fail(ErrorKind::value, "conditioning", "expects max_rows of at least 1, got ", options.max_rows);
  std::map<const Module*, std::string> names;
  model.visit([&](const std::string& name, Module& module) { names[&module] = name; });
  std::vector<LayerConditioning> report;
  const CallObserver observer([&](const Module& module, const Var& x, const Var&) {
    const auto* conv = dynamic_cast<const Conv2d*>(&module);
    const bool image = conv != nullptr && conv->options().groups == 1;
    if (!image && dynamic_cast<const Linear*>(&module) == nullptr) return;
    const Var input = image ? x : Var(flatten(reshape(x.value(), {-1, x.size(-1)}), 1));
    const auto number = [&](const Var& y) {
      const Tensor rows = image ? windows(y.value(), conv->options()) : y.value();
      return condition_number(thinned(rows, options.max_rows));
    };
    Shape features;
    for (int d = 1; d < input.rank(); ++d) features.push_back(input.shape()[d]);
    int64_t groups = std::clamp<int64_t>(options.groups, 1, input.size(1));
    while (input.size(1) % groups != 0) --groups;
    const Tensor rows = image ? windows(input.value(), conv->options()) : input.value();
    report.push_back({.layer = names[&module],
                      .rows = rows.size(0),
                      .columns = rows.size(1),
                      .plain = number(input),
                      .batch_norm = number(batch_norm(input, {}, {}, norm_eps)),
                      .layer_norm = number(layer_norm(input, features, {}, {}, norm_eps)),
                      .group_norm = number(group_norm(input, groups, {}, {}, norm_eps))});
  });
  const EvalScope evaluation(model);
  const NoGrad constants;
  model(input);
  return report;
}

}  // namespace gradus
