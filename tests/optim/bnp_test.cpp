// Batch-normalization preconditioning: the identity with descent in normalized variables, the published form, batches
// of one, and how it composes.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "layers/container.h"
#include "layers/conv.h"
#include "layers/init.h"
#include "layers/linear.h"
#include "optim/contrib/lion.h"
#include "optim/optimizer.h"

using namespace gradus;
using namespace gradus::optim;

namespace {

/// v = var alone and q = 1: plain algebra.
const Bnp bare{.momentum = 0, .relative = 0, .absolute = 0, .scaled = false};

Parameter leaf(const Tensor& value, const char* name, ParamRole role, int64_t out, int64_t in) {
  return {value, {.name = name, .layer = LayerKind::linear, .role = role, .out = out, .in = in}};
}

}  // namespace

TEST_CASE("BNP is gradient descent in the normalized variables, to rounding") {
  // a = w'^T ((h - mu) / sigma) + b', w' = sigma w, b' = b + mu^T w; with momentum 0 mu and sigma are the batch's own.
  const Tensor h = random_normal({12, 3}, 1, 2, {.seed = 1}, DType::float64) * Tensor::from<double>({1, 5, 0.2}, {3});
  const Tensor mu = mean(h, {0}), sigma = sqrt(mean(square(h - mu), {0}));
  const Tensor target = random_normal({12, 2}, 0, 1, {.seed = 2}, DType::float64);
  Parameter w = leaf(random_normal({2, 3}, 0, 1, {.seed = 3}, DType::float64), "fc.weight", ParamRole::weight, 2, 3);
  Parameter b = leaf(random_normal({2}, 0, 1, {.seed = 4}, DType::float64), "fc.bias", ParamRole::bias, 2, 1);
  Parameter nw = leaf(w.value() * sigma, "w", ParamRole::weight, 2, 3);
  Parameter nb = leaf(b.value() + sum(w.value() * mu, {1}), "b", ParamRole::bias, 2, 1);
  Optimizer ours = over({w, b}).rule(Sgd{.lr = 0.05}).bnp(bare).build();
  Optimizer plain = over({nw, nb}).rule(Sgd{.lr = 0.05}).build();
  for (int i = 0; i < 10; ++i) {
    ours.step([&] {
      w.show_input(h);
      mse_loss(tanh(linear(h, w, b)), target).backward();
    });
    plain.step([&] { mse_loss(tanh(linear((h - mu) / sigma, nw, nb)), target).backward(); });
  }
  const auto expected_w = (nw.value() / sigma).to_vector<double>();
  const auto expected_b = (nb.value() - sum(nw.value() / sigma * mu, {1})).to_vector<double>();
  for (size_t i = 0; i < 6; ++i)
    CHECK(w.value().to_vector<double>()[i] == doctest::Approx(expected_w[i]).epsilon(1e-11));
  for (size_t i = 0; i < 2; ++i)
    CHECK(b.value().to_vector<double>()[i] == doctest::Approx(expected_b[i]).epsilon(1e-11));
}

TEST_CASE("BNP damps, averages and divides by fan-in over rows as a computation by hand does") {
  Parameter w = leaf(Tensor::zeros({1, 2}, DType::float64), "fc.weight", ParamRole::weight, 1, 2);
  Parameter b = leaf(Tensor::zeros({1}, DType::float64), "fc.bias", ParamRole::bias, 1, 1);
  Optimizer optimizer =
      over({w, b}).rule(Sgd{.lr = 1}).bnp({.momentum = 0.5, .relative = 0.1, .absolute = 0.01}).build();
  w.show_input(Tensor::from<double>({4, -2}, {1, 2}));
  // mu = (2, -1) and, as this one row is all that was seen, var = 1/2.
  CHECK(optimizer.state().at("fc.weight/bnp.mean").to_vector<double>() == std::vector<double>{2, -1});
  CHECK(optimizer.state().at("fc.weight/bnp.variance").to_vector<double>() == std::vector<double>{0.5, 0.5});
  optimizer.zero_grad();  // the next row is a batch of its own
  w.show_input(Tensor::from<double>({1, 0.5}, {1, 2}));
  // mu = (1.5, -0.25), and that of all that was seen 4/3 of it, (2, -1/3); var = 1/4 + 1/2 (1 - 2)^2 = 0.75 and
  // 1/4 + 1/2 (1/2 + 1/3)^2 = 43/72; v = var + 0.075 + 0.01; q = 2 / 1.
  w.set_grad(Tensor::from<double>({3, 5}, {1, 2}));
  b.set_grad(Tensor::from<double>({7}, {1}));
  optimizer.step();
  const double w0 = (3 - 1.5 * 7) / (2 * 0.835), w1 = (5 + 0.25 * 7) / (2 * (43 / 72.0 + 0.085)),
               bias = 7 / 2.0 - (w0 * 1.5 - w1 * 0.25);
  CHECK(w.value().to_vector<double>()[0] == doctest::Approx(-w0));
  CHECK(w.value().to_vector<double>()[1] == doctest::Approx(-w1));
  CHECK(b.value().item() == doctest::Approx(-bias));
  CHECK(w.grad().to_vector<double>() == std::vector<double>{3, 5});  // gradients are never written
}

TEST_CASE("a 1x1 convolution is conditioned as the dense layer on its positions, and so is each group of channels") {
  for (int64_t groups : {1, 2}) {
    CAPTURE(groups);
    manual_seed(5);
    Sequential net(Conv2d(4, 6, {.kernel = 1, .groups = groups}));
    const std::vector<Parameter> conv = net.parameters();
    const Tensor x = random_normal({3, 4, 5, 2}, 1, 2, {.seed = 6});
    const Tensor rows = reshape(permute(x, {0, 2, 3, 1}), {30, 4});
    Optimizer optimizer = over(conv).rule(Sgd{.lr = 0.1}).bnp(Bnp{}).build();
    std::vector<Parameter> dense;
    const int64_t in = 4 / groups, out = 6 / groups;
    for (int64_t g = 0; g < groups; ++g) {
      const std::string name = "g" + std::to_string(g);
      dense.push_back(leaf(clone(reshape(slice(conv[0].value(), 0, g * out, (g + 1) * out), {out, in})),
                           (name + ".weight").c_str(), ParamRole::weight, out, in));
      dense.push_back(leaf(clone(slice(conv[1].value(), 0, g * out, (g + 1) * out)), (name + ".bias").c_str(),
                           ParamRole::bias, out, 1));
    }
    Optimizer on_dense = over(dense).rule(Sgd{.lr = 0.1}).bnp(Bnp{}).build();
    for (int i = 0; i < 3; ++i) {
      optimizer.step([&] { (sum(square(net(x))) * 0.002).backward(); });
      on_dense.step([&] {
        for (int64_t g = 0; g < groups; ++g) {
          const Tensor part = slice(rows, 1, g * in, (g + 1) * in);
          const Parameter& w = dense[static_cast<size_t>(2 * g)];
          w.show_input(part);
          (sum(square(linear(part, w, dense[static_cast<size_t>(2 * g) + 1]))) * 0.002).backward();
        }
      });
    }
    for (int64_t g = 0; g < groups; ++g) {
      const auto ours = contiguous(slice(conv[0].value(), 0, g * out, (g + 1) * out)).to_vector<float>();
      const auto theirs = dense[static_cast<size_t>(2 * g)].value().to_vector<float>();
      for (size_t i = 0; i < ours.size(); ++i) CHECK(ours[i] == doctest::Approx(theirs[i]).epsilon(1e-4));
    }
  }
}

TEST_CASE("with batches of one and badly scaled inputs BNP is far ahead of plain descent at each one's best rate") {
  const Tensor scales = Tensor::from<float>({0.05f, 1, 10}, {3});
  const auto final_loss = [&](bool conditioned, double lr) {
    manual_seed(1);
    Sequential net(Linear(3, 1));
    Builder builder = over(net.parameters()).rule(Sgd{.lr = lr});
    if (conditioned) builder.bnp(Bnp{});
    Optimizer optimizer = builder.build();
    const Tensor all = random_normal({400, 3}, 1, 1, {.seed = 7}) * scales;
    const Tensor truth = Tensor::from<float>({4, -1, 0.3f}, {1, 3});
    const Tensor y = sum(all * truth, {1}, true);
    for (int i = 0; i < 400; ++i)
      optimizer.step([&] { mse_loss(net(slice(all, 0, i, i + 1)), slice(y, 0, i, i + 1)).backward(); });
    net.eval();
    return mse_loss(net(all), y).item();
  };
  double plain = 1e30, conditioned = 1e30;
  for (double lr : {1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3}) {
    const double p = final_loss(false, lr), c = final_loss(true, lr);
    if (std::isfinite(p)) plain = std::min(plain, p);
    if (std::isfinite(c)) conditioned = std::min(conditioned, c);
  }
  CHECK(conditioned < 0.2 * plain);
}

TEST_CASE("BNP composes with FOP and every rule, and resumes bit for bit") {
  const Tensor x = random_normal({8, 2, 6, 6}, 2, 3, {.seed = 8});
  const Tensor labels = Tensor::from<int64_t>({0, 1, 2, 0, 1, 2, 0, 1}, {8});
  for (const AnyRule& rule : {AnyRule(Sgd{.lr = 0.02, .momentum = 0.9}), AnyRule(Adam{}), AnyRule(RmsProp{.lr = 1e-3}),
                              AnyRule(AdaGrad{}), AnyRule(Lion{.lr = 1e-3})}) {
    CAPTURE(rule.name());
    const auto make = [&](uint64_t seed) {
      manual_seed(seed);
      return Sequential(Conv2d(2, 4, {.kernel = 3, .activation = Activation::relu}), Flatten(), Linear(64, 3));
    };
    Sequential whole = make(1), first = make(1), second = make(2);
    const auto optimizer_for = [&](Sequential& net) {
      return over(net.parameters()).rule(rule).precondition(Fop{}).bnp(Bnp{.where = is_weight}).build();
    };
    Optimizer a = optimizer_for(whole), b = optimizer_for(first), c = optimizer_for(second);
    const auto train = [&](Sequential& net, Optimizer& optimizer, int steps) {
      for (int i = 0; i < steps; ++i) optimizer.step([&] { cross_entropy(net(x), labels).backward(); });
      return cross_entropy(net(x), labels).item();
    };
    const double before = cross_entropy(make(1)(x), labels).item();
    CHECK(train(whole, a, 12) < before);
    train(first, b, 5);
    // train() showed the model an input once more for its loss, in training: part of the state.
    StateDict state = b.state();
    for (auto& [name, tensor] : state) tensor = clone(tensor);
    second.load(first.state());
    c.load(state);
    train(first, b, 7);
    train(second, c, 7);
    for (const auto& [name, tensor] : first.state()) CHECK(tensor.to_bytes() == second.state().at(name).to_bytes());
  }
}

TEST_CASE(
    "evaluation feeds no statistics, layers without a bias and transposed ones are left alone, and the end of an "
    "optimizer ends its hook") {
  Sequential net(Linear(3, 4, {.bias = false}), Linear(4, 2));
  const Tensor x = random_normal({5, 3}, 3, 1, {.seed = 9});
  {
    Optimizer optimizer = over(net.parameters()).rule(Sgd{}).bnp(Bnp{}).build();
    CHECK_FALSE(optimizer.state().contains("0.weight/bnp.mean"));
    net.eval();
    net(x);
    CHECK(optimizer.state().at("1.weight/bnp.rows").item() == 0);
    net.train();
    net(x);
    CHECK(optimizer.state().at("1.weight/bnp.rows").item() == 5);
  }
  net(x);
  Sequential up(ConvTranspose2d(3, 4, {.kernel = 2}));
  CHECK_THROWS_WITH_AS(over(up.parameters()).rule(Sgd{}).bnp(Bnp{}).build(),
                       doctest::Contains("[bnp] there is nothing to condition"), Error);
}

TEST_CASE("with a gradient penalty the point uphill is that of the gradient, and statistics see each batch once") {
  Parameter w = leaf(Tensor::from<double>({1, 2}, {1, 2}), "fc.weight", ParamRole::weight, 1, 2);
  Parameter b = leaf(Tensor::from<double>({3}, {1}), "fc.bias", ParamRole::bias, 1, 1);
  Optimizer optimizer = over({w, b}).rule(Sgd{.lr = 0}).bnp({.momentum = 0.9}).gradient_penalty(sam(0.5)).build();
  const std::vector<double> before{1, 2, 3}, g{10, 0.1, 1};
  std::vector<double> uphill;
  optimizer.step([&] {
    uphill = w.value().to_vector<double>();
    uphill.push_back(b.value().item());
    w.show_input(Tensor::from<double>({1, 10}, {1, 2}));
    w.set_grad(Tensor::from<double>({g[0], g[1]}, {1, 2}));
    b.set_grad(Tensor::from<double>({g[2]}, {1}));
  });
  const double length = std::sqrt(g[0] * g[0] + g[1] * g[1] + g[2] * g[2]);
  for (size_t i = 0; i < 3; ++i) CHECK(uphill[i] == doctest::Approx(before[i] + 0.5 * g[i] / length));
  CHECK(optimizer.state().at("fc.weight/bnp.mean").to_vector<double>()[0] == doctest::Approx(0.1));
}

TEST_CASE("an input with a number that is not finite is refused, and what is known stays; and so are no layers") {
  Parameter w = leaf(Tensor::zeros({1, 2}), "fc.weight", ParamRole::weight, 1, 2);
  Parameter b = leaf(Tensor::zeros({1}), "fc.bias", ParamRole::bias, 1, 1);
  const Optimizer optimizer = over({w, b}).rule(Sgd{}).bnp(Bnp{}).build();
  w.show_input(Tensor::ones({4, 2}));
  const auto mean = optimizer.state().at("fc.weight/bnp.mean").to_vector<double>();
  CHECK_THROWS_WITH_AS(
      w.show_input(Tensor::full({4, 2}, std::nan(""))),
      "[bnp] 'fc.weight' was shown an input with inf or nan, which would stay in the running statistics", Error);
  CHECK(optimizer.state().at("fc.weight/bnp.mean").to_vector<double>() == mean);
  CHECK_THROWS_WITH_AS(over({b}).rule(Sgd{}).bnp(Bnp{}).build(),
                       "[bnp] there is nothing to condition: no dense or convolution layer with a bias is among the "
                       "parameters",
                       Error);
}

TEST_CASE("a layer that does not show its input is named, and so is an input that does not fit") {
  Parameter w = leaf(Tensor::zeros({1, 2}), "fc.weight", ParamRole::weight, 1, 2);
  Parameter b = leaf(Tensor::zeros({1}), "fc.bias", ParamRole::bias, 1, 1);
  Optimizer optimizer = over({w, b}).rule(Sgd{}).bnp(Bnp{}).build();
  w.set_grad(Tensor::ones({1, 2}));
  b.set_grad(Tensor::ones({1}));
  CHECK_THROWS_WITH_AS(
      optimizer.step(),
      "[bnp] no layer has shown the input of 'fc.weight'; in its forward it must call show_input(x) of "
      "the weight, in training",
      Error);
  CHECK_THROWS_WITH_AS(w.show_input(Tensor::ones({4, 3})),
                       "[bnp] 'fc.weight' is for 2 input channels, but was shown an input [4,3]", Error);
  CHECK_THROWS_AS(over({w, b}).rule(Sgd{}).bnp({.momentum = 1}), Error);
  CHECK_THROWS_WITH_AS(over({w, b}).rule(AdaHesScale{}).bnp(Bnp{}).build(),
                       "[bnp] conditions gradients, but not the curvature that the rule or the step scaling takes",
                       Error);
}

TEST_CASE("under BNP a preconditioner learns from the gradient of the loss") {
  // s multiplies what BNP makes of the gradients: dJ/ds = -lr <g(t), B g(t-1)> = <g(t), theta(t) - theta(t-1)> / s,
  // with the s that made theta(t).
  const Tensor h = random_normal({20, 3}, 1, 1, {.seed = 1}, DType::float64) * Tensor::from<double>({0.05, 1, 10}, {3});
  const Tensor target = random_normal({20, 2}, 0, 1, {.seed = 2}, DType::float64);
  for (const ActsOn acts_on : {ActsOn::gradient, ActsOn::direction}) {
    Parameter w = leaf(random_normal({2, 3}, 0, 1, {.seed = 3}, DType::float64), "fc.weight", ParamRole::weight, 2, 3);
    Parameter b = leaf(random_normal({2}, 0, 1, {.seed = 4}, DType::float64), "fc.bias", ParamRole::bias, 2, 1);
    const SHd small{.hyper = Sgd{.lr = 1e-9}, .learning = {.acts_on = acts_on}};
    Optimizer optimizer = over({w, b}).rule(Sgd{.lr = 0.05}).precondition(small).bnp(Bnp{}).build();
    double s = 1, applied = 1;
    Tensor before = clone(w.value());
    for (int i = 0; i < 5; ++i) {
      optimizer.zero_grad();
      w.show_input(h);
      mse_loss(linear(h, w, b), target).backward();
      const double slope = dot(w.grad(), w.value() - before) / applied;
      before = clone(w.value());
      optimizer.step();
      const double learned = optimizer.state().at("fc.weight/s-hd.scale").item();
      if (i > 0) CHECK((s - learned) / 1e-9 == doctest::Approx(slope).epsilon(1e-5));
      applied = s;
      s = learned;
    }
  }
}

TEST_CASE("BNP takes a batch in parts as it takes it whole, and looks at nothing under NoGrad") {
  const Tensor h = random_normal({16, 40}, 1, 1, {.seed = 1}, DType::float64);
  const auto weights_after = [&](int64_t parts, bool looks, bool leaves_out) {
    Parameter w =
        leaf(random_normal({2, 40}, 0, 1, {.seed = 3}, DType::float64), "fc.weight", ParamRole::weight, 2, 40);
    Parameter b = leaf(Tensor::zeros({2}, DType::float64), "fc.bias", ParamRole::bias, 2, 1);
    // statistics that hardly move, however many parts they see
    Optimizer optimizer = over({w, b}).rule(Sgd{.lr = 0.05}).bnp({.momentum = 1 - 1e-12}).build();
    for (int step = 0; step < 3; ++step) {
      optimizer.zero_grad();
      const int64_t rows = 16 / parts;
      for (int64_t i = 0; i < parts; ++i) {
        const Tensor part = slice(h, 0, i * rows, (i + 1) * rows);
        w.show_input(part);
        (mean(square(linear(part, w, b))) / static_cast<double>(parts)).backward();
      }
      if (leaves_out && step == 1) {
        optimizer.skip();
        continue;
      }
      if (looks) {
        const NoGrad nothing;
        w.show_input(slice(h, 0, 0, 1));
      }
      optimizer.step();
    }
    return w.value().to_vector<double>();
  };
  const std::vector<double> whole = weights_after(1, false, false), left_out = weights_after(1, false, true);
  for (const int64_t parts : {2, 8}) {
    const std::vector<double> in_parts = weights_after(parts, false, false),
                              skipped = weights_after(parts, false, true);
    for (size_t i = 0; i < whole.size(); ++i) {
      CHECK(in_parts[i] == doctest::Approx(whole[i]).epsilon(1e-9));
      CHECK(skipped[i] == doctest::Approx(left_out[i]).epsilon(1e-9));
    }
  }
  CHECK(weights_after(1, true, false) == whole);
}

TEST_CASE("BNP conditions the layers that its predicate names, and in a step no layer whose bias has no gradient") {
  Parameter w = leaf(Tensor::zeros({1, 2}), "fc.weight", ParamRole::weight, 1, 2);
  Parameter b = leaf(Tensor::zeros({1}), "fc.bias", ParamRole::bias, 1, 1);
  Parameter v = leaf(Tensor::zeros({1, 2}), "head.weight", ParamRole::weight, 1, 2);
  Parameter c = leaf(Tensor::zeros({1}), "head.bias", ParamRole::bias, 1, 1);
  Optimizer optimizer = over({w, b, v, c}).rule(Sgd{.lr = 1}).bnp({.where = named("fc.")}).build();
  CHECK(optimizer.state().contains("fc.weight/bnp.mean"));
  CHECK_FALSE(optimizer.state().contains("head.weight/bnp.mean"));
  w.show_input(Tensor::from<float>({5, -3, 1, 7}, {2, 2}));
  for (const Parameter& weight : {w, v}) weight.set_grad(Tensor::ones({1, 2}));
  optimizer.step();  // plain descent, for neither bias has a gradient
  for (const Parameter& weight : {w, v}) CHECK(weight.value().to_vector<float>() == std::vector<float>{-1, -1});
}

TEST_CASE("what was shown before a skipped step is no part of the next batch, also where gradients are kept") {
  Parameter w = leaf(Tensor::zeros({1, 2}), "fc.weight", ParamRole::weight, 1, 2);
  Parameter b = leaf(Tensor::zeros({1}), "fc.bias", ParamRole::bias, 1, 1);
  Optimizer optimizer = over({w, b}).rule(Sgd{}).bnp(Bnp{}).build();
  w.show_input(Tensor::ones({5, 2}));
  optimizer.skip();
  w.show_input(Tensor::ones({3, 2}));
  CHECK(optimizer.state().at("fc.weight/bnp.rows").item() == 3);
}

TEST_CASE("the fan-in of a convolution under BNP counts its taps") {
  // One channel with the pixels 1 and 3, of mean 2 and variance 1; fan-in 4 over 2 rows is q = 2. By the formulas of
  // Bnp, with G = 4, 6, 8, 10 and G_o = 2: W' = (G - 4) / 2 = 0, 1, 2, 3 and b' = 2 / 2 - 6 * 2.
  Parameter w(Tensor::zeros({1, 1, 2, 2}), {"conv.weight", LayerKind::conv, ParamRole::weight, 1, 1, {2, 2}});
  Parameter b(Tensor::zeros({1}), {"conv.bias", LayerKind::conv, ParamRole::bias, 1, 1, {2, 2}});
  Optimizer optimizer = over({w, b}).rule(Sgd{.lr = 1}).bnp({.momentum = 0, .relative = 0, .absolute = 0}).build();
  w.show_input(Tensor::from<float>({1, 3}, {1, 1, 1, 2}));
  w.set_grad(Tensor::from<float>({4, 6, 8, 10}, {1, 1, 2, 2}));
  b.set_grad(Tensor::from<float>({2}, {1}));
  optimizer.step();
  CHECK(w.value().to_vector<float>() == std::vector<float>{0, -1, -2, -3});
  CHECK(b.value().to_vector<float>() == std::vector<float>{11});
}

TEST_CASE("a step ends the batch that BNP has seen, also where no gradient is cleared") {
  Parameter w = leaf(Tensor::zeros({1, 2}), "fc.weight", ParamRole::weight, 1, 2);
  Parameter b = leaf(Tensor::zeros({1}), "fc.bias", ParamRole::bias, 1, 1);
  Optimizer optimizer = over({w, b}).rule(Sgd{}).bnp(Bnp{}).build();
  w.set_grad(Tensor::ones({1, 2}));
  b.set_grad(Tensor::ones({1}));
  w.show_input(Tensor::ones({5, 2}));
  optimizer.step();
  w.show_input(Tensor::ones({3, 2}));
  CHECK(optimizer.state().at("fc.weight/bnp.rows").item() == 3);
}

TEST_CASE("statistics go on after a step that looked at a point uphill") {
  Parameter w = leaf(Tensor::zeros({1, 2}), "fc.weight", ParamRole::weight, 1, 2);
  Parameter b = leaf(Tensor::zeros({1}), "fc.bias", ParamRole::bias, 1, 1);
  Optimizer optimizer =
      over({w, b}).rule(Sgd{.lr = 0.01}).bnp({.momentum = 0}).gradient_penalty({.radius = 0.1, .mix = 1}).build();
  for (const double value : {1.0, 5.0}) {
    optimizer.step([&] {
      const Tensor h = Tensor::full({4, 2}, value);
      w.show_input(h);
      sum(linear(h, w, b)).backward();
    });
    CHECK(optimizer.state().at("fc.weight/bnp.mean").to_vector<double>() == std::vector<double>{value, value});
  }
}
