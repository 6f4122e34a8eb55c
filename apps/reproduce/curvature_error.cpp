// For one sample, d^2L/dW_ij^2 = d^2L/da_i^2 x_j^2 with a layer's input x and result a, exactly; HesScale, Gauss-Newton
// and squared gradients factor in the same way. So all samples share one graph, in which each keeps to its own rows,
// and only Hutchinson's estimate needs the weights' own.
#include "apps/reproduce/curvature_error.h"

#include <map>

#include "autograd/curvature.h"
#include "layers/linear.h"

namespace gradus::reproduce {
namespace {

struct Layer {
  Var x, a;  ///< [N, in], [N, out]
};

/// The network's result, and its dense layers in order.
Var observe(Module& net, const Tensor& images, std::vector<Layer>& layers) {
  const CallObserver observer([&](const Module& module, const Var& x, const Var& y) {
    if (dynamic_cast<const Linear*>(&module)) layers.push_back({x, y});
  });
  return net(images);
}

Var loss_of(const Var& logits, const Tensor& labels) {
  return cross_entropy(logits, labels, {.reduction = Reduction::sum});
}

Tensor one_column(const Tensor& like, int64_t column) {
  Tensor ones = Tensor::zeros(like.shape(), like.dtype()), at = slice(ones, 1, column, column + 1);
  fill_(at, 1);
  return ones;
}

/// d y / d x with so much of each sample's y.
Tensor back(const Var& y, const Var& x, const Tensor& seed) {
  const Var g =
      grad(std::span(&y, 1), std::span(&x, 1), {.retain_graph = true, .allow_unused = true, .seeds = {seed}})[0];
  return g.defined() ? g.value() : Tensor::zeros(x.shape(), x.dtype());
}

/// d^2 L_n / d a_ni^2: one differentiation of the gradient for each unit, of all samples together.
Tensor exact(const Var& loss, const Var& a) {
  const Var g = grad(loss, a, {.create_graph = true});
  std::vector<Tensor> columns;
  for (int64_t i = 0; i < a.size(1); ++i) columns.push_back(select(back(g, a, one_column(a.value(), i)), 1, i));
  return transpose(stack(columns, 0), 0, 1);
}

/// The diagonal of J^T (diag(p) - p p^T) J for each sample.
Tensor gauss_newton(const Var& logits, const Var& a) {
  const Tensor p = softmax(logits.value(), 1);
  Tensor mean = Tensor::zeros(a.shape(), a.dtype()), squares = Tensor::zeros(a.shape(), a.dtype());
  for (int64_t k = 0; k < logits.size(1); ++k) {
    const Tensor row = back(logits, a, one_column(p, k)), share = slice(p, 1, k, k + 1);
    add_(mean, row * share);
    add_(squares, square(row) * share);
  }
  return squares - square(mean);
}

/// Mean over the samples of sum_i |estimate - exact| times the squared length of the layer's extended input (1, x).
double error(const Tensor& estimate, const Tensor& exact, const Layer& layer) {
  const Tensor length = sum(square(layer.x.value()), {1}, true) + 1.0;
  return sum(abs(estimate - exact) * length).item() / static_cast<double>(layer.x.size(0));
}

}  // namespace

void measure_curvature(Module& net, const Tensor& images, const Tensor& labels, uint64_t seed, double step,
                       Outcome& outcome) {
  std::vector<Layer> layers;
  const Var logits = observe(net, images, layers), loss = loss_of(logits, labels);
  const int64_t samples = images.size(0);
  std::vector<Var> results;
  for (const Layer& layer : layers) results.push_back(layer.a);

  std::map<std::string, std::vector<double>> errors;
  std::vector<Tensor> truth;
  for (const Var& a : results) truth.push_back(exact(loss, a));
  const auto add = [&](const char* estimator, const std::vector<Tensor>& estimates, double factor = 1) {
    for (size_t i = 0; i < layers.size(); ++i)
      errors[estimator].push_back(error(estimates[i] * factor, truth[i], layers[i]));
  };
  for (CurvatureMethod method : {CurvatureMethod::hesscale, CurvatureMethod::hesscale_gn, CurvatureMethod::bl89})
    add(estimators[static_cast<size_t>(method)], curvature(loss, results, {.method = method, .retain_graph = true}));
  std::vector<Tensor> newton, squares, zeros;
  for (const Var& a : results) {
    newton.push_back(gauss_newton(logits, a));
    squares.push_back(square(grad(loss, a, {.retain_graph = true}).value()));
    zeros.push_back(Tensor::zeros(a.shape(), a.dtype()));
  }
  add("GGN exact", newton);
  add("g^2", squares);
  add("zero", zeros);
  // Per sample, not of a mean: the number of samples is a factor.
  for (int64_t draws : {1, 50})
    add(draws == 1 ? "GGN-MC 1" : "GGN-MC 50",
        monte_carlo_curvature(logits, Likelihood::softmax, results, {.seed = seed, .stream = 1}, draws),
        static_cast<double>(samples));

  const std::vector<Parameter> parameters = net.parameters();
  const std::vector<Var> inputs(parameters.begin(), parameters.end());
  for (int64_t draws : {1, 50}) {
    std::vector<double> sums(layers.size());
    for (int64_t n = 0; n < samples; ++n) {
      const auto row = [&](const Tensor& all) { return slice(all, 0, n, n + 1); };
      const Var alone = loss_of(net(row(images)), row(labels));
      const CurvatureOptions options{.method = CurvatureMethod::hutchinson,
                                     .key = {.seed = seed, .stream = 2 + static_cast<uint64_t>(n)},
                                     .samples = draws};
      const std::vector<Tensor> h = curvature(alone, inputs, options);
      for (size_t i = 0; i < layers.size(); ++i) {
        const Tensor of_bias = row(truth[i]);
        const Tensor of_weight = matmul(transpose(of_bias, 0, 1), square(row(layers[i].x.value())));
        sums[i] += sum(abs(h[2 * i] - of_weight)).item() + sum(abs(h[2 * i + 1] - of_bias)).item();
      }
    }
    for (double sum : sums)
      errors[draws == 1 ? "Hutchinson 1" : "Hutchinson 50"].push_back(sum / static_cast<double>(samples));
  }

  std::vector<std::string> columns{"step"};
  for (size_t i = 0; i < layers.size(); ++i) columns.push_back("fc" + std::to_string(i + 1));
  columns.push_back("all");
  for (const auto& [estimator, per_layer] : errors) {
    std::vector<double> row{step};
    double all = 0;
    for (double e : per_layer) {
      row.push_back(e);
      all += e;
    }
    row.push_back(all);
    outcome.add("error " + estimator, columns, row);
  }
}

}  // namespace gradus::reproduce
