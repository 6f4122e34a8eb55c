#include "autograd/curvature.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "autograd/function.h"
#include "autograd/ops.h"
#include "core/error.h"
#include "tests/autograd/op_table.h"

using namespace gradus;
using gradus::testing::op_table;
using gradus::testing::OpRow;

namespace {

constexpr DType f64 = DType::float64;
constexpr CurvatureMethod sweeps[] = {CurvatureMethod::hesscale, CurvatureMethod::hesscale_gn, CurvatureMethod::bl89};

Tensor noise(const Shape& shape, uint64_t stream, double scale = 1, DType dtype = f64) {
  return random_normal(shape, 0, scale, {.seed = 5, .stream = stream}, dtype);
}

double distance(const Tensor& a, const Tensor& b) { return norm(a - b) / std::max(1.0, norm(b)); }

/// A loss whose gradient and diagonal curvature with respect to y are given.
struct Probe : Function<Probe> {
  static Var forward(SavedTensors& saved, const Var& y, const Var& g, const Var& h) {
    saved.save({g, h});
    return sum(y);
  }
  static std::vector<Var> backward(const SavedTensors& saved, const Var&) { return {saved[0], Var(), Var()}; }
  static std::vector<Var> curvature(const SavedTensors& saved, const Var&, const Var&) {
    return {saved[1], Var(), Var()};
  }
};

/// sin, with a rule for curvature and without.
template <bool rule>
struct Sine : Function<Sine<rule>> {
  static Var forward(SavedTensors& saved, const Var& x) {
    saved.save({x});
    return sin(x);
  }
  static Var backward(const SavedTensors& saved, const Var& gy) { return gy * cos(saved[0]); }
  static Var curvature(const SavedTensors& saved, const Var& gy, const Var& hy) requires rule {
    return square(cos(saved[0])) * hy - sin(saved[0]) * gy;
  }
};

/// x m, without a rule.
struct Mixed : Function<Mixed> {
  static Var forward(SavedTensors& saved, const Var& x, const Var& m) {
    saved.save({m});
    return matmul(x, m);
  }
  static std::vector<Var> backward(const SavedTensors& saved, const Var& gy) {
    return {matmul(gy, transpose(saved[0], 0, 1)), Var()};
  }
};

/// sum_i hy_i (dy_i/dx)^2 + sum_i gy_i d^2y_i/dx^2, elementwise in x, from one differentiation per output.
Tensor expected_curvature(const Var& y, const Var& x, const Tensor& gy, const Tensor& hy, bool bends) {
  Tensor result = Tensor::zeros(x.shape(), f64);
  const std::vector<double> weights = hy.to_vector<double>();
  for (int64_t k = 0; k < y.value().numel(); ++k) {
    Tensor one = Tensor::zeros({y.value().numel()}, f64), at = slice(one, 0, k, k + 1);
    fill_(at, 1);
    const Tensor seed = reshape(one, y.shape());
    const Var row =
        grad(std::span(&y, 1), std::span(&x, 1), {.retain_graph = true, .allow_unused = true, .seeds = {seed}})[0];
    if (row.defined()) result = result + square(row.value()) * weights[static_cast<size_t>(k)];
  }
  if (bends) result = result + exact_curvature(sum(y * gy), {x})[0];
  return result;
}

/// The network of the specification's test vector.
struct Perceptron {
  Var w1 = Var::leaf(Tensor::from<double>({0.3, -0.5, 0.8, 0.2, -0.6, 0.4}, {3, 2}));
  Var b1 = Var::leaf(Tensor::from<double>({0.1, -0.2, 0.05}, {3}));
  Var w2 = Var::leaf(Tensor::from<double>({0.7, -0.3, 0.5, -0.4, 0.9, 0.2}, {2, 3}));
  Var b2 = Var::leaf(Tensor::from<double>({0, 0.1}, {2}));
  std::vector<Var> inputs() const { return {b1, w1, w2, b2}; }
  Var loss() const {
    const Tensor x = Tensor::from<double>({1, -2}, {1, 2});
    return cross_entropy(linear(tanh(linear(x, w1, b1)), w2, b2), Tensor::from<int64_t>({0}, {1}));
  }
};

void check_values(const Tensor& tensor, const std::vector<double>& expected) {
  const std::vector<double> values = tensor.to_vector<double>();
  REQUIRE(values.size() == expected.size());
  for (size_t i = 0; i < values.size(); ++i) CHECK(std::abs(values[i] - expected[i]) < 1e-6);
}

}  // namespace

TEST_CASE("a 2-3-2 network has the curvature computed by hand, exactly and by each sweep") {
  const Perceptron net;
  CHECK(std::abs(net.loss().item() - 0.523196) < 1e-6);
  const std::vector<double> w2 = {0.189237, 0.009405, 0.184438, 0.189237, 0.009405, 0.184438},
                            b2 = {0.241421, 0.241421};
  const auto check = [&](const std::vector<Tensor>& h, const std::vector<double>& b1, const std::vector<double>& w1,
                         const std::vector<double>& w2, const std::vector<double>& b2) {
    check_values(h[0], b1);
    check_values(h[1], w1);
    check_values(h[2], w2);
    check_values(h[3], b2);
  };
  check(exact_curvature(net.loss(), net.inputs()), {0.185161, 0.135630, -0.049215},
        {0.185161, 0.740642, 0.135630, 0.542521, -0.049215, -0.196862}, w2, b2);
  const auto by = [&](CurvatureMethod method) { return curvature(net.loss(), net.inputs(), {.method = method}); };
  check(by(CurvatureMethod::hesscale), {0.178844, 0.015223, -0.046526},
        {0.178844, 0.715376, 0.015223, 0.060890, -0.046526, -0.186102}, w2, b2);
  check(by(CurvatureMethod::hesscale_gn), {0.007332, 0.200680, 0.003900},
        {0.007332, 0.029327, 0.200680, 0.802718, 0.003900, 0.015602}, w2, b2);
  check(by(CurvatureMethod::bl89), {0.177039, -0.165389, -0.047064},
        {0.177039, 0.708157, -0.165389, -0.661556, -0.047064, -0.188254}, {0.189237, 0.009405, 0.184438, 0, 0, 0},
        {0.241421, 0});
}

TEST_CASE("every operation passes curvature as its derivatives say") {
  // Uses of one variable count each alone, and statistics as constants, by definition: these rows have tests of their
  // own below. And pow of two variables has no rule.
  const std::set<std::string> forks = {"operator* (by itself)", "where (broadcast)", "variance"},
                              without = {"pow", "pow (broadcast)"};
  const auto starts = [](const std::string& name, std::initializer_list<const char*> with) {
    return std::any_of(with.begin(), with.end(), [&](const char* w) { return name.starts_with(w); });
  };
  for (const OpRow& row : op_table()) {
    const bool frozen = starts(row.name, {"layer_norm", "group_norm"}) ||
                        (starts(row.name, {"batch_norm"}) && !starts(row.name, {"batch_norm_apply"}));
    if (forks.contains(row.name) || frozen) continue;
    CAPTURE(row.name);
    std::vector<Var> inputs;
    for (size_t i = 0; i < row.shapes.size(); ++i)
      inputs.push_back(
          Var::leaf(random_uniform(row.shapes[i], row.domain.low, row.domain.high, {.seed = 9, .stream = i}, f64)));
    const Var y = row.f(inputs);
    const Tensor gy = noise(y.shape(), 100), hy = noise(y.shape(), 101);
    const Var loss = Probe::apply(y, Var(gy), Var(hy));
    if (without.contains(row.name)) {
      CHECK_THROWS_WITH_AS(curvature(loss, inputs),
                           "[curvature] the operation 'pow' has no rule for curvature. Give its gradient one "
                           "(autograd/record.h), or pass {.estimate_missing = true}",
                           Error);
      continue;
    }
    for (const bool newton : {false, true}) {
      const auto method = newton ? CurvatureMethod::hesscale_gn : CurvatureMethod::hesscale;
      const std::vector<Tensor> h = curvature(loss, inputs, {.method = method, .retain_graph = true});
      const bool bends = !newton || starts(row.name, {"log_softmax", "logsumexp", "cross_entropy", "mse_loss", "huber",
                                                      "binary_cross", "gaussian", "ppo"});
      // Attention is several operations, each of which passes on a diagonal: only the value sees the last one alone.
      for (size_t i = starts(row.name, {"attention"}) ? 2 : 0; i < inputs.size(); ++i)
        CHECK(distance(h[i], expected_curvature(row.f(inputs), inputs[i], gy, hy, bends)) < 1e-10);
    }
  }
}

TEST_CASE("batch norm's curvature in training is that of evaluation with the same statistics") {
  const Var x = Var::leaf(noise({4, 3, 2, 2}, 1)), w = Var::leaf(noise({3}, 2)), b = Var::leaf(noise({3}, 3));
  BatchStatistics statistics;
  const Var y = batch_norm(x, w, b, 1e-3, &statistics);
  const Var frozen = batch_norm_apply(x, w, b, statistics.mean, statistics.variance, 1e-3);
  const Tensor gy = noise(y.shape(), 4), hy = noise(y.shape(), 5);
  const auto expected = curvature(Probe::apply(frozen, Var(gy), Var(hy)), {x, w, b});
  const auto h = curvature(Probe::apply(y, Var(gy), Var(hy)), {x, w, b});
  for (size_t i = 0; i < 3; ++i) CHECK(distance(h[i], expected[i]) < 1e-12);
}

TEST_CASE("layer and group norm count their statistics as constants too") {
  const Var x = Var::leaf(noise({3, 4}, 1)), w = Var::leaf(noise({4}, 2)), b = Var::leaf(noise({4}, 3));
  const Tensor centered = x.value() - mean(x.value(), {1}, true);
  const Tensor rstd = rsqrt(mean(square(centered), {1}, true) + 1e-3), hy = noise({3, 4}, 5);
  const Var probe = Probe::apply(layer_norm(x, {4}, w, b, 1e-3), Var(noise({3, 4}, 4)), Var(hy));
  const auto h = curvature(probe, {x, w, b});
  CHECK(distance(h[0], hy * square(rstd * w.value())) < 1e-12);
  CHECK(distance(h[1], sum(hy * square(centered * rstd), {0})) < 1e-12);
  CHECK(distance(h[2], sum(hy, {0})) < 1e-12);
  const Var one_group = Probe::apply(group_norm(x, 1, w, b, 1e-3), Var(noise({3, 4}, 4)), Var(hy));
  const auto of_group = curvature(one_group, {x, w, b});
  for (size_t i = 0; i < 3; ++i) CHECK(distance(of_group[i], h[i]) < 1e-12);
}

TEST_CASE("the last layer's curvature is exact in 100 random networks, with every loss") {
  Generator random(3);
  for (uint64_t seed = 0; seed < 100; ++seed) {
    CAPTURE(seed);
    const auto extent = [&](int64_t low, int64_t high) {
      return low + static_cast<int64_t>(random.below(static_cast<uint64_t>(high - low + 1)));
    };
    const int64_t samples = extent(1, 4), kind = extent(0, 3);
    int64_t width = extent(1, 5);
    Var x = noise({samples, width}, 1000 * seed);
    for (int64_t depth = extent(1, 3); depth > 0; --depth) {
      const int64_t next = extent(1, 5);
      x = linear(x, Var::leaf(noise({next, width}, 1000 * seed + 2 * static_cast<uint64_t>(depth))));
      x = random.below(2) == 0 ? tanh(x) : silu(x);
      width = next;
    }
    const int64_t outputs = extent(2, 4);
    const Var w = Var::leaf(noise({outputs, width}, 1000 * seed + 100)),
              b = Var::leaf(noise({outputs}, 1000 * seed + 101));
    const Var z = linear(x, w, b);
    const auto loss = [&]() -> Var {
      const Tensor target = noise(z.shape(), 1000 * seed + 102), variance = square(target) + 0.3;
      std::vector<int64_t> labels;
      for (int64_t i = 0; i < samples; ++i) labels.push_back(extent(0, outputs - 1));
      const Tensor label = Tensor::from(labels, {samples}), advantage = noise({samples}, 1000 * seed + 103);
      switch (kind) {
        case 0: return cross_entropy(z, label);
        case 1: return mse_loss(z, target);
        case 2: return gaussian_nll_loss(z, variance, target);
        default: return ppo_loss(z, label, Tensor::full({samples}, -1, f64), advantage);
      }
    }();
    const auto exact = exact_curvature(loss, {w, b});
    for (CurvatureMethod method : {CurvatureMethod::hesscale, CurvatureMethod::hesscale_gn}) {
      const auto h = curvature(loss, {w, b}, {.method = method, .retain_graph = true});
      for (size_t i = 0; i < 2; ++i) CHECK(distance(h[i], exact[i]) < 1e-12);
    }
  }
}

TEST_CASE("without second derivatives of activations Gauss-Newton is HesScale, bit for bit") {
  const auto leaf = [](const Shape& shape, uint64_t stream) {
    return Var::leaf(noise(shape, stream, 0.5, DType::float32));
  };
  const Var w1 = leaf({6, 2, 3, 3}, 1), b1 = leaf({6}, 2), w2 = leaf({6, 6, 3, 3}, 3), w3 = leaf({10, 54}, 4);
  const Var x = noise({5, 2, 8, 8}, 5, 1, DType::float32);
  Var y = max_pool2d(conv2d(x, w1, b1, {.padding = {1, 1, 1, 1}}, true), {});
  y = avg_pool2d(relu(conv2d(y, w2, {}, {.padding = {1, 1, 1, 1}})) + y, {{2, 2}, {1, 1}});
  const Var loss =
      cross_entropy(linear(dropout(flatten(y, 1), 0.2, {}), w3), Tensor::from<int64_t>({1, 3, 5, 7, 9}, {5}));
  const std::vector<Var> inputs = {w1, b1, w2, w3};
  const auto full = curvature(loss, inputs, {.retain_graph = true});
  const auto newton = curvature(loss, inputs, {.method = CurvatureMethod::hesscale_gn});
  for (size_t i = 0; i < inputs.size(); ++i) {
    CHECK(full[i].to_vector<float>() == newton[i].to_vector<float>());
    CHECK(norm(full[i]) > 0);
  }
}

TEST_CASE("a convolution of maps of one element has the curvature of a dense layer") {
  const Tensor weights = noise({4, 3}, 1), x = noise({5, 3}, 2), last = noise({2, 4}, 3);
  const Var dense = Var::leaf(weights), kernel = Var::leaf(reshape(weights, {4, 3, 1, 1})),
            b = Var::leaf(noise({4}, 4));
  const auto loss = [&](const Var& y) {
    return cross_entropy(linear(tanh(y), Var(last)), Tensor::from<int64_t>({0, 1, 0, 0, 1}, {5}));
  };
  for (CurvatureMethod method : sweeps) {
    const auto a = curvature(loss(linear(x, dense, b)), {dense, b}, {.method = method});
    const auto c =
        curvature(loss(flatten(conv2d(reshape(x, {5, 3, 1, 1}), kernel, b), 1)), {kernel, b}, {.method = method});
    CHECK(distance(reshape(c[0], {4, 3}), a[0]) < 1e-13);
    CHECK(distance(c[1], a[1]) < 1e-13);
  }
}

TEST_CASE("a convolutional network that ends in a dense layer has its curvature exactly there") {
  for (uint64_t seed = 0; seed < 5; ++seed) {
    const Var w1 = Var::leaf(noise({3, 2, 3, 3}, 10 * seed)), w2 = Var::leaf(noise({4, 3, 2, 2}, 10 * seed + 1));
    const Var w = Var::leaf(noise({3, 4}, 10 * seed + 2)), b = Var::leaf(noise({3}, 10 * seed + 3));
    const Var x = noise({2, 2, 6, 6}, 10 * seed + 4);
    const Var maps = gelu(conv2d(max_pool2d(softplus(conv2d(x, w1)), {}), w2));
    const Var loss = cross_entropy(linear(global_avg_pool2d(maps), w, b), Tensor::from<int64_t>({2, 0}, {2}));
    const auto exact = exact_curvature(loss, {w, b}), h = curvature(loss, {w, b});
    CHECK(distance(h[0], exact[0]) < 1e-12);
    CHECK(distance(h[1], exact[1]) < 1e-12);
  }
}

TEST_CASE("each use of a variable counts alone, and their curvatures add up") {
  const Var x = Var::leaf(noise({3}, 1));
  const Tensor hy = noise({3}, 2);
  const Var y = x + x * 3.0;
  CHECK(distance(curvature(Probe::apply(y, Var(noise({3}, 3)), Var(hy)), {x})[0], hy * 10) < 1e-14);
}

TEST_CASE("a user's operation has the rule that it brings, or one that is estimated where that is asked for") {
  const Var x = Var::leaf(noise({3, 4}, 1));
  const Tensor gy = noise({3, 4}, 2), hy = noise({3, 4}, 3), c = cos(x.value());
  const auto of = [&](const Var& y, const CurvatureOptions& options = {}) {
    return curvature(Probe::apply(y, Var(gy), Var(hy)), {x}, options)[0];
  };
  CHECK(distance(of(Sine<true>::apply(x)), square(c) * hy - sin(x.value()) * gy) < 1e-14);
  CHECK_THROWS_WITH_AS(of(Sine<false>::apply(x)), doctest::Contains("the operation 'function' has no rule"), Error);
  CHECK(distance(of(Sine<false>::apply(x), {.estimate_missing = true}), square(c) * hy) < 1e-14);
}

TEST_CASE("the estimate for an operation without a rule has the Gauss-Newton part as its mean") {
  const Var x = Var::leaf(noise({2, 3}, 1));
  const Tensor m = noise({3, 4}, 2), hy = noise({2, 4}, 3);
  const Var loss = Probe::apply(Mixed::apply(x, Var(m)), Var(noise({2, 4}, 4)), Var(hy));
  const Tensor expected = matmul(hy, square(transpose(m, 0, 1)));
  Tensor total = Tensor::zeros({2, 3}, f64), squares = Tensor::zeros({2, 3}, f64);
  constexpr int64_t draws = 4000;
  for (uint64_t i = 0; i < draws; ++i) {
    const Tensor h = curvature(loss, {x}, {.estimate_missing = true, .key = {.stream = i}, .retain_graph = true})[0];
    add_(total, h, 1.0 / draws);
    add_(squares, square(h), 1.0 / draws);
  }
  // Five standard errors of the mean, element by element.
  const Tensor allowed = sqrt((squares - square(total)) * (25.0 / draws));
  CHECK(max(abs(total - expected) - allowed).item() < 0);
}

TEST_CASE("backward_with_curvature leaves backward()'s gradients, and curvatures that add up until they are cleared") {
  const Perceptron net, plain;
  plain.loss().backward();
  backward_with_curvature(net.loss(), {.method = CurvatureMethod::bl89});
  for (size_t i = 0; i < 4; ++i)
    CHECK(net.inputs()[i].grad().to_vector<double>() == plain.inputs()[i].grad().to_vector<double>());
  const Tensor once = net.w1.curvature();
  check_values(once, {0.177039, 0.708157, -0.165389, -0.661556, -0.047064, -0.188254});
  backward_with_curvature(net.loss(), {.method = CurvatureMethod::bl89});
  CHECK(distance(net.w1.curvature(), once * 2) < 1e-15);
  CHECK(distance(net.w1.grad(), plain.w1.grad() * 2) < 1e-15);
  net.w1.clear_grad();
  CHECK(!net.w1.curvature().defined());
  CHECK(!net.w1.grad().defined());
}

TEST_CASE("Hutchinson's estimate is exact for a diagonal Hessian and unbiased otherwise") {
  const Var x = Var::leaf(noise({5}, 1));
  backward_with_curvature(sum(pow(x, 3)), {.method = CurvatureMethod::hutchinson});
  CHECK(distance(x.curvature(), x.value() * 6) < 1e-14);
  CHECK(distance(x.grad(), square(x.value()) * 3) < 1e-14);

  const Perceptron net;
  const auto exact = exact_curvature(net.loss(), {net.w1});
  Tensor total = Tensor::zeros({3, 2}, f64), squares = Tensor::zeros({3, 2}, f64);
  constexpr int64_t draws = 2000;
  for (uint64_t i = 0; i < draws; ++i) {
    const Tensor h = curvature(net.loss(), {net.w1}, {.method = CurvatureMethod::hutchinson, .key = {.stream = i}})[0];
    add_(total, h, 1.0 / draws);
    add_(squares, square(h), 1.0 / draws);
  }
  CHECK(max(abs(total - exact[0]) - sqrt((squares - square(total)) * (25.0 / draws))).item() < 0);
  const Tensor averaged = curvature(net.loss(), {net.w1}, {.method = CurvatureMethod::hutchinson, .samples = draws})[0];
  CHECK(distance(averaged, exact[0]) < 0.1);
}

TEST_CASE("Monte Carlo curvature has the Gauss-Newton diagonal as its mean, and for a linear model that is exact") {
  const Var w = Var::leaf(noise({3, 4}, 1));
  const Tensor x = noise({5, 4}, 2);
  constexpr int64_t draws = 4000;
  const auto check = [&](const Var& loss, Likelihood likelihood) {
    const Tensor exact = exact_curvature(loss, {w})[0];
    const Tensor h = monte_carlo_curvature(linear(x, w), likelihood, {w}, {.seed = 1}, draws)[0];
    CHECK(distance(h, exact) < 0.05);  // relative standard error about sqrt(2 / draws) per element
  };
  check(cross_entropy(linear(x, w), Tensor::from<int64_t>({0, 1, 2, 0, 1}, {5})), Likelihood::softmax);
  check(mse_loss(linear(x, w), Var(noise({5, 3}, 3))), Likelihood::gaussian);
}

TEST_CASE("what has no curvature is refused with a reason") {
  const Var x = Var::leaf(noise({2}, 1)), other = Var::leaf(noise({2}, 2));
  CHECK_THROWS_WITH_AS(curvature(x, {x}), doctest::Contains("needs a single element (a loss), got [2]"), Error);
  CHECK_THROWS_WITH_AS(backward_with_curvature(Var(Tensor::ones({}))), doctest::Contains("requires a gradient"), Error);
  CHECK_THROWS_WITH_AS(curvature(sum(x), {other}), doctest::Contains("input 0 does not influence the loss"), Error);
  CHECK_THROWS_WITH_AS(curvature(sum(x), {Var(Tensor::ones({2}))}), doctest::Contains("does not require a gradient"),
                       Error);
  CHECK_THROWS_WITH_AS(curvature(sum(pow(x, 3)), {x}, {.method = CurvatureMethod::hutchinson, .samples = 0}),
                       doctest::Contains("[hutchinson] needs at least one sample, got 0"), Error);
  CHECK_THROWS_WITH_AS(monte_carlo_curvature(x, Likelihood::softmax, {x}, {}),
                       doctest::Contains("expects logits [N, K], got [2]"), Error);
}

TEST_CASE("Hutchinson's estimates add up as the sweep's do, and where the graph is retained it can be walked again") {
  for (const CurvatureMethod method : {CurvatureMethod::hesscale, CurvatureMethod::hutchinson}) {
    CAPTURE(name(method));
    const Var x = Var::leaf(Tensor::from<double>({1, -2}, {2}));
    const Var loss = sum(square(x) * x);  // a diagonal Hessian, of which Hutchinson's estimate is exact
    backward_with_curvature(loss, {.method = method, .retain_graph = true});
    backward_with_curvature(loss, {.method = method});
    if (method == CurvatureMethod::hutchinson) CHECK(x.curvature().to_vector<double>() == std::vector<double>{12, -24});
    CHECK(x.grad().to_vector<double>() == std::vector<double>{6, 24});
    CHECK_THROWS_WITH_AS(loss.backward(), doctest::Contains("this graph was walked before"), Error);
  }
}

TEST_CASE("curvature of an intermediate result is there beside that of what is behind it") {
  const Var x = Var::leaf(Tensor::from<double>({1, -2}, {2})), h = x * 3.0;
  const std::vector<Tensor> both = curvature(sum(square(h)), {h, x});
  CHECK(both[0].to_vector<double>() == std::vector<double>{2, 2});
  CHECK(both[1].to_vector<double>() == std::vector<double>{18, 18});
}

TEST_CASE("the elements that share a maximum share its curvature by the squares of their shares") {
  const Var x = Var::leaf(Tensor::from<double>({3, 1, 3}, {3}));
  CHECK(curvature(square(max(x)), {x})[0].to_vector<double>() == std::vector<double>{0.5, 0, 0.5});
}

TEST_CASE("targets that are no distribution weigh the curvature of cross-entropy by their sum") {
  // -sum t log p has the Hessian mass (diag(p) - p p^T); of two equal logits p (1 - p) is 1/4.
  const Var x = Var::leaf(Tensor::zeros({1, 2}, DType::float64));
  const Tensor target = Tensor::from<double>({3, 1}, {1, 2});
  CHECK(curvature(cross_entropy(x, target), {x})[0].to_vector<double>() == std::vector<double>{1, 1});
}
