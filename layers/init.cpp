// Initial values of parameters.
#include "layers/init.h"

#include <cmath>
#include <vector>

#include "core/error.h"
#include "core/linalg.h"
#include "core/ops.h"
#include "layers/module.h"

namespace gradus {
namespace {

/// Weights come from stream 0, which grows by offset; modules draw from the streams after it.
struct Default {
  uint64_t seed = 0;
  uint64_t modules = 0;
  Generator generator{0, 0};
};
thread_local Default current;

/// As float32, whatever x is: equal seeds give equal numbers.
void assign(const Tensor& x, const Tensor& values) {
  if (!is_floating(x.dtype()))
    fail(ErrorKind::dtype, "init", "fills floating tensors, got ", x.dtype(), " ", x.shape());
  Tensor to = x;
  copy_(to, cast(cast(values, DType::float32), x.dtype()));
}

}  // namespace

void manual_seed(uint64_t seed) { current = {seed, 0, Generator(seed, 0)}; }

RandomKey detail::next_module_key() { return {current.seed, ++current.modules, 0}; }

namespace init {

Generator& default_generator() { return current.generator; }

Fans fans(const Shape& weight) {
  if (weight.rank() < 2) fail(ErrorKind::shape, "init", "a fan needs a weight of at least 2 dimensions, got ", weight);
  const int64_t area = numel(weight) == 0 ? 0 : numel(weight) / (weight[0] * weight[1]);
  return {weight[1] * area, weight[0] * area};
}

void zeros(const Tensor& x) {
  Tensor to = x;
  fill_(to, 0);
}

void ones(const Tensor& x) {
  Tensor to = x;
  fill_(to, 1);
}

void uniform(const Tensor& x, double low, double high, Generator& generator) {
  assign(x, random_uniform(x.shape(), low, high, generator.fork()));
}

void normal(const Tensor& x, double mean, double std, Generator& generator) {
  assign(x, random_normal(x.shape(), mean, std, generator.fork()));
}

void truncated_normal(const Tensor& x, double mean, double std, double cut, Generator& generator) {
  if (!(cut >= 0.01))  // a smaller one rejects nearly every draw
    fail(ErrorKind::value, "truncated_normal", "cut must be at least 0.01, got ", cut);
  std::vector<double> values(static_cast<size_t>(x.numel()));
  for (double& value : values) {
    double z = generator.normal();
    while (std::abs(z) > cut) z = generator.normal();
    value = mean + std * z;
  }
  assign(x, Tensor::from(values, x.shape()));
}

void xavier_uniform(const Tensor& weight, double gain, Generator& generator) {
  const Fans f = fans(weight.shape());
  const double bound = gain * std::sqrt(6.0 / static_cast<double>(f.in + f.out));
  uniform(weight, -bound, bound, generator);
}

void xavier_normal(const Tensor& weight, double gain, Generator& generator) {
  const Fans f = fans(weight.shape());
  normal(weight, 0, gain * std::sqrt(2.0 / static_cast<double>(f.in + f.out)), generator);
}

namespace {
double kaiming_std(const Tensor& weight, const KaimingOptions& options) {
  const Fans f = fans(weight.shape());
  const auto fan = static_cast<double>(options.fan == Fan::in ? f.in : f.out);
  return std::sqrt(2.0 / (1 + options.slope * options.slope) / fan);
}
}  // namespace

void kaiming_uniform(const Tensor& weight, const KaimingOptions& options, Generator& generator) {
  const double bound = std::sqrt(3.0) * kaiming_std(weight, options);
  uniform(weight, -bound, bound, generator);
}

void kaiming_normal(const Tensor& weight, const KaimingOptions& options, Generator& generator) {
  normal(weight, 0, kaiming_std(weight, options), generator);
}

void orthogonal(const Tensor& weight, double gain, Generator& generator) {
  if (weight.rank() < 2)
    fail(ErrorKind::shape, "orthogonal", "expects a weight of at least 2 dimensions, got ", weight.shape());
  if (!std::isfinite(gain)) fail(ErrorKind::value, "orthogonal", "gain must be finite, got ", gain);
  const int64_t rows = weight.size(0);
  const Shape matrix = {rows, rows == 0 ? 0 : weight.numel() / rows};
  const Tensor q = orthonormal(random_normal(matrix, 0, 1, generator.fork(), DType::float64)) * gain;
  assign(weight, reshape(q, weight.shape()));
}

void initialize(Module& model, Scheme scheme, Generator& generator) {
  for (const Parameter& p : model.parameters()) {
    const LayerKind layer = p.info().layer;
    if (layer != LayerKind::linear && layer != LayerKind::conv && layer != LayerKind::conv_transpose) continue;
    const Tensor& x = p.value();
    if (p.info().role == ParamRole::bias) zeros(x);
    if (p.info().role != ParamRole::weight) continue;
    switch (scheme) {
      case Scheme::xavier_uniform: xavier_uniform(x, 1, generator); break;
      case Scheme::xavier_normal: xavier_normal(x, 1, generator); break;
      case Scheme::kaiming_uniform: kaiming_uniform(x, {}, generator); break;
      case Scheme::kaiming_normal: kaiming_normal(x, {}, generator); break;
      case Scheme::truncated_normal:
        truncated_normal(x, 0, 1 / std::sqrt(static_cast<double>(fans(x.shape()).in)), 2, generator);
        break;
      case Scheme::orthogonal: orthogonal(x, 1, generator); break;
    }
  }
}

}  // namespace init
}  // namespace gradus
