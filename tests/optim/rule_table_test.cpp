// The one table of all rules: each finds the minimum of a quadratic and of Rosenbrock's function, trains a small
// network, and goes on bit for bit from a state that was saved in the middle.
#include <doctest/doctest.h>

#include "autograd/ops.h"
#include "optim/contrib/lion.h"
#include "optim/contrib/muon.h"
#include "optim/contrib/prodigy.h"
#include "optim/contrib/schedule_free.h"
#include "optim/contrib/shampoo.h"
#include "optim/optimizer.h"

using namespace gradus;
using namespace gradus::optim;

namespace {

struct Row {
  std::string name;
  AnyRule quadratic, rosenbrock, net;  ///< with a learning rate for each problem
  std::optional<StepScaling> scaling = std::nullopt;
};

AdaHesScale adahesscale(double lr, AdaHesScale::Denominator denominator, CurvatureMethod method, double eps = 1e-8) {
  return {.lr = lr, .eps = eps, .denominator = denominator, .curvature = {.method = method}};
}

const std::vector<Row>& table() {
  using D = AdaHesScale::Denominator;
  using M = CurvatureMethod;
  static const std::vector<Row> rows = {
      {"sgd", Sgd{.lr = 0.1}, Sgd{.lr = 1e-3}, Sgd{.lr = 0.1}},
      {"momentum", Sgd{.lr = 0.03, .momentum = 0.9}, Sgd{.lr = 2e-4, .momentum = 0.9},
       Sgd{.lr = 0.02, .momentum = 0.9}},
      {"nesterov", Sgd{.lr = 0.03, .momentum = 0.9, .nesterov = true},
       Sgd{.lr = 2e-4, .momentum = 0.9, .nesterov = true}, Sgd{.lr = 0.02, .momentum = 0.9, .nesterov = true}},
      {"adam", Adam{.lr = 0.02}, Adam{.lr = 0.01}, Adam{.lr = 0.01}},
      {"adamw", AdamW{.lr = 0.02, .weight_decay = 0}, AdamW{.lr = 0.01, .weight_decay = 0}, AdamW{.lr = 0.01}},
      {"rmsprop", RmsProp{.lr = 1e-3}, RmsProp{.lr = 2e-4}, RmsProp{.lr = 3e-3}},
      {"adagrad", AdaGrad{.lr = 0.5}, AdaGrad{.lr = 0.3}, AdaGrad{.lr = 0.1}},
      {"adahesscale", adahesscale(0.1, D::rms, M::hesscale), adahesscale(0.5, D::rms, M::hesscale),
       adahesscale(0.02, D::rms, M::hesscale, 1e-4)},
      {"adahesscale, root", adahesscale(0.1, D::root, M::hesscale), adahesscale(0.01, D::root, M::hesscale),
       adahesscale(0.02, D::root, M::hesscale, 1e-4)},
      {"adahesscale, plain", adahesscale(0.1, D::plain, M::hesscale), adahesscale(0.5, D::plain, M::hesscale),
       adahesscale(0.02, D::plain, M::hesscale, 1e-2)},
      {"adahesscale-gn", adahesscale(0.1, D::rms, M::hesscale_gn), adahesscale(0.02, D::root, M::bl89),
       adahesscale(0.02, D::rms, M::hesscale_gn, 1e-4)},
      // Eight signs per step: with one, steps along Rosenbrock's valley are at times far too long.
      {"adahessian", AdaHessian{.lr = 0.1}, AdaHessian{.lr = 0.3, .curvature = {.method = M::hutchinson, .samples = 8}},
       AdaHessian{.lr = 0.02}},
      {"sgd, scaled", Sgd{.lr = 0.1}, Sgd{.lr = 1e-3}, Sgd{.lr = 0.1}, StepScaling{.delta = 1}},
      {"adam, scaled", Adam{.lr = 0.02}, Adam{.lr = 0.01}, Adam{.lr = 0.01},
       StepScaling{.delta = 1, .magnitudes = true}},
      {"lion", Lion{.lr = 1e-3}, Lion{.lr = 3e-4}, Lion{.lr = 0.01}},
      {"muon", Muon{.lr = 2e-3}, Muon{.lr = 3e-4}, Muon{.lr = 0.05}},
      {"shampoo", Shampoo{.lr = 0.5}, Shampoo{.lr = 0.3}, Shampoo{.lr = 0.2}},
      {"schedule-free", ScheduleFree{.lr = 0.02}, ScheduleFree{.lr = 0.02}, ScheduleFree{.lr = 0.05}},
      // The estimate never falls: with lr 1 its steps circle in the valley's end.
      {"prodigy", Prodigy{.d0 = 1e-3}, Prodigy{.lr = 0.05, .d0 = 1e-4}, Prodigy{.d0 = 1e-3}},
  };
  return rows;
}

Optimizer make(const Row& row, const AnyRule& rule, const std::vector<Parameter>& parameters) {
  Builder builder = over(parameters);
  builder.rule(rule);
  if (row.scaling) builder.scale_steps(*row.scaling);
  if (rule.name() == Muon::name) builder.group(is_bias, {.rule = Adam{.lr = 0.01}});
  return builder.build();
}

double minimize(const Row& row, const AnyRule& rule, const Parameter& x, const std::function<Var(const Var&)>& f,
                int64_t steps) {
  Optimizer optimizer = make(row, rule, {x});
  for (int64_t i = 0; i < steps; ++i) {
    optimizer.zero_grad();
    optimizer.backward(f(x));
    optimizer.step();
  }
  return f(x).item();
}

/// Two classes of points on rings, which no line separates.
struct Net {
  std::vector<Parameter> parameters;
  Tensor x = random_normal({64, 2}, 0, 1, {.seed = 3}), label;

  Net() {
    const auto add = [&](const char* name, const Tensor& value) {
      const ParamRole role = value.rank() > 1 ? ParamRole::weight : ParamRole::bias;
      parameters.emplace_back(value, ParamInfo{.name = name, .layer = LayerKind::linear, .role = role});
    };
    add("fc1.weight", random_normal({16, 2}, 0, 1, {.seed = 4}));
    add("fc1.bias", random_normal({16}, 0, 1, {.seed = 5}));
    add("fc2.weight", random_normal({2, 16}, 0, 0.3, {.seed = 6}));
    label = cast(greater(sum(square(x), {1}), 1.4), DType::int64);
  }
  Var loss() const {
    return cross_entropy(linear(tanh(linear(x, parameters[0], parameters[1])), parameters[2]), label);
  }
  void train(Optimizer& optimizer, int64_t until) const {
    while (optimizer.steps() < until) {
      optimizer.zero_grad();
      optimizer.backward(loss());
      optimizer.step();
    }
  }
};

}  // namespace

TEST_CASE("every rule finds the minimum of a quadratic") {
  for (const Row& row : table()) {
    CAPTURE(row.name);
    const Parameter x(Tensor::from<double>({3, -2, 1}, {1, 3}), {.name = "x"});
    const Tensor factor = Tensor::from<double>({0.7, 1, 2}, {1, 3}), target = Tensor::zeros({1, 3}, DType::float64);
    const auto f = [&](const Var& v) { return mse_loss(v * factor, target, Reduction::sum) * 0.5; };
    CHECK(minimize(row, row.quadratic, x, f, 5000) < 1e-4);
  }
}

TEST_CASE("every rule finds the minimum of Rosenbrock's function") {
  for (const Row& row : table()) {
    CAPTURE(row.name);
    const Parameter x(Tensor::from<double>({-0.5, 1}, {1, 2}), {.name = "x"});
    const auto f = [](const Var& v) {
      const Var a = slice(v, 1, 0, 1), b = slice(v, 1, 1, 2);
      return sum(square(1.0 - a) + square(b - square(a)) * 100.0);
    };
    CHECK(minimize(row, row.rosenbrock, x, f, 20000) < 1e-3);
  }
}

TEST_CASE("every rule trains a small network, and goes on bit for bit from a saved state") {
  for (const Row& row : table()) {
    CAPTURE(row.name);
    const Net whole, stopped, resumed;
    Optimizer a = make(row, row.net, whole.parameters), b = make(row, row.net, stopped.parameters);
    whole.train(a, 400);
    CHECK(whole.loss().item() < 0.3);

    stopped.train(b, 150);
    StateDict state = b.state();
    for (auto& [name, tensor] : state) tensor = clone(tensor);
    for (size_t i = 0; i < 3; ++i) {
      Tensor to = resumed.parameters[i].value();
      copy_(to, stopped.parameters[i].value());
    }
    Optimizer c = make(row, row.net, resumed.parameters);
    c.load(state);
    resumed.train(c, 400);
    for (size_t i = 0; i < 3; ++i)
      CHECK(resumed.parameters[i].value().to_vector<float>() == whole.parameters[i].value().to_vector<float>());
    const StateDict expected = a.state(), got = c.state();
    REQUIRE(got.size() == expected.size());
    for (const auto& slot : expected) {
      CAPTURE(slot.first);
      CHECK(sum(cast(not_equal(slot.second, got.at(slot.first)), DType::float64)).item() == 0);
    }
  }
}
