// Initial values: their moments, bounds and fans.
#include "layers/init.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "core/ops.h"
#include "layers/container.h"
#include "layers/conv.h"
#include "layers/linear.h"
#include "layers/norm.h"
#include "tests/data/temporary_folder.h"

using namespace gradus;

namespace {

struct Moments {
  double mean = 0, variance = 0, largest = 0;
};

Moments moments(const Tensor& x) {
  Moments m;
  const auto values = x.to_vector<float>();
  const auto count = static_cast<double>(values.size());
  for (float v : values) m.mean += v / count;
  for (float v : values) m.variance += (v - m.mean) * (v - m.mean) / count;
  for (float v : values) m.largest = std::max(m.largest, std::abs(double{v}));
  return m;
}

// 64 * 32 * 9 values: the standard error of a variance is at most sqrt(2 / 18432) = 1.0 % of it; five of them are
// taken.
const Shape shape = {64, 32, 3, 3};
constexpr double fan_in = 32 * 9, fan_out = 64 * 9, tolerance = 0.052;

/// Within so large a part of itself: Approx alone allows numbers far below 1 as much as it allows 1.
doctest::Approx relative(double value, double part) { return doctest::Approx(value).epsilon(part).scale(0); }

void check(const Tensor& x, double variance) {
  const Moments m = moments(x);
  CHECK(m.variance == relative(variance, tolerance));
  CHECK(std::abs(m.mean) < 5 * std::sqrt(variance / 18432));
}

}  // namespace

TEST_CASE("fans count the kernel's area") {
  CHECK(init::fans({10, 20}).in == 20);
  CHECK(init::fans({10, 20}).out == 10);
  CHECK(init::fans(shape).in == 288);
  CHECK(init::fans(shape).out == 576);
  CHECK(contains(error_of([] { init::fans({3}); }), "at least 2 dimensions"));
}

TEST_CASE("xavier initialization has variance 2 / (fan_in + fan_out)") {
  Generator generator(1);
  const Tensor w = Tensor::empty(shape);
  init::xavier_uniform(w, 1, generator);
  check(w, 2 / (fan_in + fan_out));
  CHECK(moments(w).largest <= std::sqrt(6 / (fan_in + fan_out)));
  init::xavier_normal(w, 2, generator);
  check(w, 4 * 2 / (fan_in + fan_out));
}

TEST_CASE("kaiming initialization has variance 2 / (1 + slope^2) / fan") {
  Generator generator(2);
  const Tensor w = Tensor::empty(shape);
  init::kaiming_uniform(w, {}, generator);
  check(w, 2 / fan_in);
  CHECK(moments(w).largest <= std::sqrt(6 / fan_in));
  init::kaiming_normal(w, {.slope = 0.5, .fan = init::Fan::out}, generator);
  check(w, 2 / 1.25 / fan_out);
}

TEST_CASE("truncated normal values stay within the cut and have the variance of what is left") {
  Generator generator(3);
  const Tensor w = Tensor::empty(shape);
  init::truncated_normal(w, 0, 0.1, 2, generator);
  CHECK(moments(w).largest <= 0.2);
  // 1 - 2 c phi(c) / (2 Phi(c) - 1) at c = 2
  check(w, 0.01 * 0.7737412);
}

TEST_CASE("a cut that would reject nearly every draw is refused, and so is a gain that is not finite") {
  const Tensor w = Tensor::zeros({2, 2});
  for (double cut : {0.0, 1e-3, -1.0, std::nan("")})
    CHECK(contains(error_of([&] { init::truncated_normal(w, 0, 1, cut); }),
                   "[truncated_normal] cut must be at least 0.01, got "));
  init::truncated_normal(w, 0, 1, 0.01);
  CHECK(moments(w).largest <= 0.01);
  for (double gain : {std::nan(""), HUGE_VAL})
    CHECK(contains(error_of([&] { init::orthogonal(w, gain); }), "[orthogonal] gain must be finite, got "));
}

TEST_CASE("orthogonal initialization gives orthonormal rows or columns, times the gain") {
  Generator generator(4);
  for (const Shape& s : {Shape{6, 20}, Shape{20, 6}, Shape{4, 2, 3, 3}}) {
    const Tensor w = Tensor::empty(s);
    init::orthogonal(w, 3, generator);
    const Tensor m = reshape(w, {s[0], -1}), t = transpose(m, 0, 1);
    const Tensor gram = m.size(0) <= m.size(1) ? matmul(m, t) : matmul(t, m);
    CHECK(norm(gram - Tensor::eye(gram.size(0)) * 9.0) < 1e-5 * 9 * static_cast<double>(gram.size(0)));
  }
}

TEST_CASE("initialize sets weights by the scheme, their biases to zero, and leaves norms alone") {
  Sequential net(Conv2d(3, 8, {.kernel = 3}), BatchNorm2d(8), Flatten(), Linear(32, 5));
  init::initialize(net, init::Scheme::xavier_uniform);
  StateDict state = net.state();
  CHECK(norm(state.at("0.bias")) == 0);
  CHECK(norm(state.at("3.bias")) == 0);
  CHECK(moments(state.at("1.weight")).mean == 1);
  CHECK(moments(state.at("3.weight")).largest <= std::sqrt(6.0 / 37));
  CHECK(moments(state.at("3.weight")).largest > 0.8 * std::sqrt(6.0 / 37));
  Sequential up(ConvTranspose2d(30, 2, {.kernel = 2}));
  init::initialize(up, init::Scheme::kaiming_uniform);  // 2 * 2 * 2 count as inputs
  state = up.state();
  CHECK(norm(state.at("0.bias")) == 0);
  CHECK(moments(state.at("0.weight")).largest <= std::sqrt(6.0 / 8));
  CHECK(moments(state.at("0.weight")).largest > 0.8 * std::sqrt(6.0 / 8));
}

TEST_CASE("layers start as PyTorch's do: uniform within 1 / sqrt(fan_in), biases too") {
  const Linear linear(400, 300);
  CHECK(moments(linear.weight().value()).largest <= 0.05);
  CHECK(moments(linear.weight().value()).variance == relative(0.05 * 0.05 / 3, 0.02));
  CHECK(moments(linear.bias().value()).largest <= 0.05);
  const Conv2d conv(16, 32, {.kernel = 5, .groups = 4});
  CHECK(moments(conv.weight().value()).largest <= 0.1);
  CHECK(moments(conv.weight().value()).variance == relative(0.01 / 3, 0.1));
  const ConvTranspose2d turned(32, 16, {.kernel = 5, .groups = 4});
  CHECK(moments(turned.weight().value()).largest <= 0.1);
  CHECK(moments(turned.weight().value()).variance == relative(0.01 / 3, 0.1));
  CHECK(moments(turned.bias().value()).largest <= 0.1);
}

TEST_CASE("the scheme of truncated normal values cuts at two standard deviations of 1 / fan_in") {
  Conv2d conv(32, 64, {.kernel = 3});
  init::initialize(conv, init::Scheme::truncated_normal);
  const Tensor& w = conv.weight().value();
  CHECK(moments(w).largest <= 2 / std::sqrt(fan_in));
  check(w, 0.7737412 / fan_in);
}
