// The sweep's treatment of an operation, and the estimators that differentiate instead.
#include "autograd/curvature.h"

#include <cmath>
#include <map>

#include "autograd/ops.h"
#include "autograd/record.h"
#include "autograd/sweep.h"
#include "core/error.h"

namespace gradus {
namespace {

void check_loss(const char* op, const Var& loss) {
  if (!loss.requires_grad()) fail(ErrorKind::value, op, "this variable depends on nothing that requires a gradient");
  if (loss.value().numel() != 1)
    fail(ErrorKind::shape, op, "needs a single element (a loss), got ", loss.shape(),
         ". Reduce it with sum() or mean()");
}

/// The next `count` elements' random numbers.
RandomKey advance(RandomKey& key, int64_t count) {
  const RandomKey current = key;
  key.offset += static_cast<uint64_t>(count + 3) / 4;
  return current;
}

Tensor random_signs(const Shape& shape, DType dtype, RandomKey& key) {
  Tensor signs = dropout(Tensor::ones(shape), 0.5, advance(key, numel(shape)));  // 0 or 2 so far
  binary_(BinaryOp::sub, signs, Tensor::ones({}));
  return cast(signs, dtype);
}

/// (J^2)^T hy where no rule says how: the square of J^T (v sqrt(hy)) with random signs v has that mean, the positive
/// and the negative part of hy each.
void estimate(Node& node, const Var& gy, std::span<Var> gx, const Tensor& hy, std::span<Var> hx, RandomKey& key) {
  node.backward(gy, gx);
  const Tensor v = random_signs(hy.shape(), hy.dtype(), key);
  for (const double sign : {1.0, -1.0}) {
    std::vector<Var> back(hx.size());
    const Tensor part = maximum(hy * sign, Tensor::zeros({}, hy.dtype()));
    if (sign < 0 && norm(part) == 0) break;
    node.backward(v * sqrt(part), back);
    for (size_t i = 0; i < hx.size(); ++i) {
      if (!back[i].defined()) continue;
      const Tensor term = square(back[i].value()) * sign;
      hx[i] = hx[i].defined() ? hx[i].value() + term : term;
    }
  }
}

PassCurvature rules(const CurvatureOptions& options) {
  return [method = options.method, estimates = options.estimate_missing, key = options.key](
             Node& node, const Var& gy, std::span<Var> gx, const Var& hy, std::span<Var> hx) mutable {
    if (node.backward(gy, gx, Curvature(hy, hx, method))) return;
    if (!estimates)
      fail(
          ErrorKind::value, "curvature", "the operation '", node.name(),
          "' has no rule for curvature. Give its gradient one (autograd/record.h), or pass {.estimate_missing = true}");
    estimate(node, gy, gx, hy.value(), hx, key);
  };
}

/// One variable for each leaf that the loss depends on, in order of creation and without a value.
std::vector<Var> leaves_of(const Var& loss) {
  std::vector<NodePtr> pending{loss.node()};
  std::map<uint64_t, NodePtr> seen{{loss.node()->sequence(), loss.node()}};
  while (!pending.empty()) {
    const NodePtr node = std::move(pending.back());
    pending.pop_back();
    for (const NodePtr& input : node->inputs())
      if (input && seen.emplace(input->sequence(), input).second) pending.push_back(input);
  }
  std::vector<Var> leaves;
  for (const auto& [sequence, node] : seen)
    if (node->is_leaf()) leaves.emplace_back(Tensor(), node);
  return leaves;
}

/// Adds to sums[i] `factor` times the term of input i, where there is one.
void add_terms(std::vector<Tensor>& sums, const std::vector<Var>& terms, double factor) {
  for (size_t i = 0; i < sums.size(); ++i)
    if (terms[i].defined()) add_(sums[i], terms[i].value(), factor);
}

std::vector<Tensor> zeros_like(const std::vector<Var>& inputs) {
  std::vector<Tensor> zeros;
  for (const Var& input : inputs) zeros.push_back(Tensor::zeros(input.node()->shape(), input.node()->dtype()));
  return zeros;
}

void check_samples(const char* op, int64_t samples) {
  if (samples < 1) fail(ErrorKind::value, op, "needs at least one sample, got ", samples);
}

/// The mean of v o (H v) for each input, from their gradients, which were recorded.
std::vector<Tensor> hutchinson(const std::vector<Var>& gradients, const std::vector<Var>& inputs,
                               const CurvatureOptions& options) {
  check_samples("hutchinson", options.samples);
  std::vector<Tensor> sums = zeros_like(inputs);
  RandomKey key = options.key;
  for (int64_t sample = 0; sample < options.samples; ++sample) {
    std::vector<Var> signs;
    for (const Var& g : gradients) signs.emplace_back(random_signs(g.shape(), g.dtype(), key));
    const bool retain = options.retain_graph || sample + 1 < options.samples;
    std::vector<Var> terms = grad(gradients, inputs, {.retain_graph = retain, .allow_unused = true, .seeds = signs});
    for (size_t i = 0; i < terms.size(); ++i)
      if (terms[i].defined()) terms[i] = signs[i].value() * terms[i].value();
    add_terms(sums, terms, 1 / static_cast<double>(options.samples));
  }
  return sums;
}

}  // namespace

const char* name(CurvatureMethod method) {
  constexpr const char* names[] = {"hesscale", "hesscale-gn", "bl89", "hutchinson"};
  return names[static_cast<size_t>(method)];
}

void backward_with_curvature(const Var& loss, const CurvatureOptions& options) {
  check_loss("backward_with_curvature", loss);
  if (options.method != CurvatureMethod::hutchinson) {
    sweep_curvature(loss, {}, !options.retain_graph, rules(options));
    return;
  }
  const std::vector<Var> leaves = leaves_of(loss);
  const std::vector<Var> gradients = grad(loss, leaves, {.create_graph = true});
  const std::vector<Tensor> terms = hutchinson(gradients, leaves, options);
  for (size_t i = 0; i < leaves.size(); ++i) {
    const Tensor &g = leaves[i].grad(), &h = leaves[i].curvature(), &more = gradients[i].value();
    leaves[i].set_grad(g.defined() ? g + more : more);
    leaves[i].set_curvature(h.defined() ? h + terms[i] : terms[i]);
  }
}

std::vector<Tensor> curvature(const Var& loss, const VarList& inputs, const CurvatureOptions& options) {
  check_loss("curvature", loss);
  if (options.method == CurvatureMethod::hutchinson)
    return hutchinson(grad(loss, inputs, {.create_graph = true}), inputs, options);
  check_inputs("curvature", inputs);
  std::vector<Tensor> results;
  for (const Var& h : sweep_curvature(loss, inputs, !options.retain_graph, rules(options))) {
    if (!h.defined()) fail(ErrorKind::value, "curvature", "input ", results.size(), " does not influence the loss");
    results.push_back(h.value());
  }
  return results;
}

std::vector<Tensor> exact_curvature(const Var& loss, const VarList& inputs) {
  check_loss("exact_curvature", loss);
  const std::vector<Var> gradients = grad(loss, inputs, {.create_graph = true});
  std::vector<Tensor> results = zeros_like(inputs);
  for (size_t i = 0; i < inputs.size(); ++i) {
    const auto element = [](const Tensor& x, int64_t k) { return slice(flatten(x), 0, k, k + 1); };
    for (int64_t k = 0; k < results[i].numel() && gradients[i].requires_grad(); ++k) {
      const Tensor one = Tensor::zeros(inputs[i].shape(), inputs[i].dtype());
      Tensor at = element(one, k), here = element(results[i], k);
      fill_(at, 1);
      const Var row = grad(std::span(&gradients[i], 1), std::span(&inputs[i], 1),
                           {.retain_graph = true, .allow_unused = true, .seeds = {one}})[0];
      if (row.defined()) copy_(here, element(row.value(), k));
    }
  }
  return results;
}

std::vector<Tensor> monte_carlo_curvature(const Var& outputs, Likelihood likelihood, const VarList& inputs,
                                          const RandomKey& key, int64_t samples) {
  check_samples("monte_carlo_curvature", samples);
  const bool classes = likelihood == Likelihood::softmax;
  if (classes && outputs.rank() != 2)
    fail(ErrorKind::shape, "monte_carlo_curvature", "expects logits [N, K], got ", outputs.shape());
  const Tensor& y = outputs.value();
  std::vector<Tensor> sums = zeros_like(inputs);
  RandomKey next = key;
  for (int64_t sample = 0; sample < samples; ++sample) {
    const RandomKey draw = advance(next, y.numel());
    Tensor seed;  // a draw whose covariance is the Hessian of the loss with respect to the outputs
    if (classes) {
      const Tensor gumbel = neg(log(neg(log(random_uniform(y.shape(), 0, 1, draw, y.dtype())))));
      const Tensor label = argmax(y + gumbel, 1, true);
      const Tensor drawn =
          scatter_add(Tensor::zeros(y.shape(), y.dtype()), 1, label, Tensor::ones(label.shape(), y.dtype()));
      seed = (softmax(y, 1) - drawn) * (1 / std::sqrt(static_cast<double>(y.size(0))));
    } else {
      seed = random_normal(y.shape(), 0, std::sqrt(2 / static_cast<double>(y.numel())), draw, y.dtype());
    }
    std::vector<Var> terms =
        grad(std::span(&outputs, 1), inputs, {.retain_graph = true, .allow_unused = true, .seeds = {seed}});
    for (Var& term : terms)
      if (term.defined()) term = square(term.value());
    add_terms(sums, terms, 1 / static_cast<double>(samples));
  }
  return sums;
}

}  // namespace gradus
