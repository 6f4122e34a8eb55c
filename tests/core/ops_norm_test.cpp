#include "core/error.h"
#include "core/ops.h"
#include "tests/core/cpu_compare.h"

using namespace gradus;
using namespace gradus::testing;

namespace {

using Values = std::vector<double>;

const DType both[] = {DType::float32, DType::float64};
/// A few roundings of numbers around 1.
double few(DType dtype) { return dtype == DType::float32 ? 2e-6 : 4e-15; }

/// [C] seen as [1, C, 1, 1], to spell normalization with elementwise operations.
Tensor per_channel(const Tensor& v) { return reshape(v, {1, -1, 1, 1}); }
Tensor moved(const Tensor& x, const Tensor& direction, double h) { return x + direction * h; }

}  // namespace

TEST_CASE("batch_norm standardizes every channel, for every memory order") {
  const double eps = 1e-5;
  for (const DType dtype : both)
    for (const Memory memory : every_memory) {
      const Tensor x = in(memory, cast(random({4, 3, 5, 2}, 1, -1, 3), dtype));
      const Tensor weight = cast(random({3}, 2), dtype), bias = cast(random({3}, 3), dtype);
      const Tensor wide = cast(x, DType::float64);
      const Tensor center = mean(wide, {0, 2, 3}, true);
      const Tensor variance = mean(square(wide - center), {0, 2, 3}, true);
      const Normalized out = batch_norm(x, weight, bias, eps);
      check_within(out.mean, reshape(center, {3}), [&](size_t) { return few(dtype); });
      check_within(out.rstd, reshape(rsqrt(variance + eps), {3}), [&](size_t) { return few(dtype); });
      const Tensor expected = (wide - center) * rsqrt(variance + eps) * per_channel(cast(weight, DType::float64)) +
                              per_channel(cast(bias, DType::float64));
      check_within(out.values, expected, [&](size_t) { return 4 * few(dtype); });
      CHECK(out.values.strides() == Tensor::empty_like(x).strides());
      // Without weight and bias, and with the statistics given back.
      check_within(batch_norm(x, {}, {}, eps).values, (wide - center) * rsqrt(variance + eps),
                   [&](size_t) { return 4 * few(dtype); });
      check_within(batch_norm_apply(x, weight, bias, out.mean, out.rstd), out.values,
                   [&](size_t) { return 4 * few(dtype); });
    }
}

TEST_CASE("batch_norm takes matrices and sequences as well as images") {
  const Tensor x = Tensor::from<double>({1, 10, 3, 30}, {2, 2});
  const Normalized out = batch_norm(x, {}, {}, 0);
  CHECK(elements(out.mean) == Values{2, 20});
  CHECK(elements(out.values) == Values{-1, -1, 1, 1});
  check_within(reshape(batch_norm(reshape(random({4, 3, 6}, 1), {4, 3, 6}), {}, {}, 1e-5).values, {4, 3, 2, 3}),
               batch_norm(random({4, 3, 2, 3}, 1), {}, {}, 1e-5).values, [](size_t) { return 1e-6; });
}

TEST_CASE("batch_norm survives a large mean and a constant channel") {
  const Tensor x = random({8, 2, 4, 4}, 1) + 1000.0;
  const Tensor wide = cast(x, DType::float64);
  const Tensor variance = mean(square(wide - mean(wide, {0, 2, 3}, true)), {0, 2, 3});
  // The mean itself is rounded to float32: an error of 1000 u, squared in the variance and therefore harmless.
  check_within(batch_norm(x, {}, {}, 1e-5).rstd, rsqrt(variance + 1e-5), [](size_t) { return 1e-4; });
  const Normalized flat = batch_norm(Tensor::full({2, 1, 2, 2}, 3), {}, {}, 1e-5);
  CHECK(elements(flat.values) == Values(8, 0.0));
  CHECK(flat.rstd.item() == doctest::Approx(1 / std::sqrt(1e-5)));
}

TEST_CASE("batch_norm_backward is the derivative of batch_norm, for every memory order") {
  const double eps = 1e-3, h = 1e-5;
  const Tensor x = cast(random({3, 2, 3, 2}, 1, -1, 2), DType::float64),
               gy = cast(random({3, 2, 3, 2}, 2), DType::float64);
  const Tensor weight = cast(random({2}, 3), DType::float64), bias = cast(random({2}, 4), DType::float64);
  const auto loss = [&](const Tensor& a, const Tensor& w, const Tensor& b) {
    return dot(gy, batch_norm(a, w, b, eps).values);
  };
  const Normalized out = batch_norm(x, weight, bias, eps);
  for (const Memory memory : every_memory)
    for (const DType dtype : both) {
      const auto as = [&](const Tensor& t) { return cast(t, dtype); };
      const NormGradients g =
          batch_norm_backward(in(memory, as(gy)), in(memory, as(x)), as(weight), as(out.mean), as(out.rstd));
      const double bound = dtype == DType::float32 ? 2e-5 : 1e-8;  // central differences leave about h^2
      for (uint64_t seed = 10; seed < 14; ++seed) {
        const Tensor dx = cast(random(x.shape(), seed), DType::float64), dw = cast(random({2}, seed), DType::float64);
        const double along_x = (loss(moved(x, dx, h), weight, bias) - loss(moved(x, dx, -h), weight, bias)) / (2 * h);
        const double along_w = (loss(x, moved(weight, dw, h), bias) - loss(x, moved(weight, dw, -h), bias)) / (2 * h);
        const double along_b = (loss(x, weight, moved(bias, dw, h)) - loss(x, weight, moved(bias, dw, -h))) / (2 * h);
        CHECK(std::abs(dot(cast(g.input, DType::float64), dx) - along_x) < bound);
        CHECK(std::abs(dot(cast(g.weight, DType::float64), dw) - along_w) < bound);
        CHECK(std::abs(dot(cast(g.bias, DType::float64), dw) - along_b) < bound);
      }
      // No weight means a weight of one.
      check_within(batch_norm_backward(as(gy), as(x), {}, as(out.mean), as(out.rstd)).input,
                   batch_norm_backward(as(gy), as(x), Tensor::ones({2}, dtype), as(out.mean), as(out.rstd)).input,
                   [&](size_t) { return few(dtype); });
    }
}

TEST_CASE("batch norm names what does not fit") {
  const Tensor x = Tensor::zeros({2, 3, 4, 4}), three = Tensor::zeros({3}), four = Tensor::zeros({4});
  CHECK_THROWS_WITH_AS(batch_norm(three, {}, {}, 1e-5),
                       "[batch_norm] input needs at least 2 dimensions [N,C,...], got [3]", Error);
  CHECK_THROWS_WITH_AS(batch_norm(x, four, {}, 1e-5), "[batch_norm] the weight needs shape [3], got [4]", Error);
  CHECK_THROWS_WITH_AS(batch_norm(x, {}, four, 1e-5), "[batch_norm] the bias needs shape [3], got [4]", Error);
  CHECK_THROWS_WITH_AS(batch_norm(x, {}, {}, -1), "[batch_norm] eps must not be negative, got -1", Error);
  CHECK_THROWS_WITH_AS(batch_norm(Tensor::zeros({0, 3}), {}, {}, 1e-5),
                       "[batch_norm] a batch of [0,3] has no statistics", Error);
  CHECK_THROWS_AS(batch_norm(cast(x, DType::int64), {}, {}, 1e-5), Error);
  CHECK_THROWS_AS(batch_norm(x, cast(three, DType::float64), {}, 1e-5), Error);
  CHECK_THROWS_WITH_AS(batch_norm_apply(x, {}, {}, four, three), "[batch_norm_apply] the mean needs shape [3], got [4]",
                       Error);
  CHECK_THROWS_WITH_AS(batch_norm_apply(x, {}, {}, three, four),
                       "[batch_norm_apply] the reciprocal standard deviation needs shape [3], got [4]", Error);
  CHECK_THROWS_AS(batch_norm_apply(x, {}, {}, three, cast(three, DType::float64)), Error);
  CHECK(batch_norm_apply(Tensor::zeros({0, 3}), {}, {}, three, three).shape() == Shape{0, 3});
  CHECK_THROWS_WITH_AS(batch_norm_backward(three, x, {}, three, three),
                       "[batch_norm_backward] the gradient needs shape [2,3,4,4], got [3]", Error);
  CHECK_THROWS_AS(batch_norm_backward(Tensor::zeros({0, 3}), Tensor::zeros({0, 3}), {}, three, three), Error);
}

TEST_CASE("layer_norm standardizes every row, for every memory order") {
  const double eps = 1e-5;
  for (const DType dtype : both)
    for (const Memory memory : every_memory) {
      const Tensor x = in(memory, cast(random({5, 7}, 1, -1, 3), dtype));
      const Tensor weight = cast(random({7}, 2), dtype), bias = cast(random({7}, 3), dtype);
      const Tensor wide = cast(x, DType::float64);
      const Tensor center = mean(wide, {1}, true);
      const Tensor scale = rsqrt(mean(square(wide - center), {1}, true) + eps);
      const Normalized out = layer_norm(x, weight, bias, eps);
      check_within(out.mean, reshape(center, {5}), [&](size_t) { return few(dtype); });
      check_within(out.rstd, reshape(scale, {5}), [&](size_t) { return few(dtype); });
      check_within(out.values, (wide - center) * scale * cast(weight, DType::float64) + cast(bias, DType::float64),
                   [&](size_t) { return 4 * few(dtype); });
      check_within(layer_norm(x, {}, {}, eps).values, (wide - center) * scale, [&](size_t) { return 4 * few(dtype); });
    }
  CHECK(layer_norm(Tensor::zeros({0, 4}), {}, {}, 1e-5).mean.shape() == Shape{0});
}

TEST_CASE("layer_norm_backward is the derivative of layer_norm, for every memory order") {
  const double eps = 1e-3, h = 1e-5;
  const Tensor x = cast(random({3, 5}, 1, -1, 2), DType::float64), gy = cast(random({3, 5}, 2), DType::float64);
  const Tensor weight = cast(random({5}, 3), DType::float64), bias = cast(random({5}, 4), DType::float64);
  const auto loss = [&](const Tensor& a, const Tensor& w, const Tensor& b) {
    return dot(gy, layer_norm(a, w, b, eps).values);
  };
  const Normalized out = layer_norm(x, weight, bias, eps);
  for (const Memory memory : every_memory)
    for (const DType dtype : both) {
      const auto as = [&](const Tensor& t) { return cast(t, dtype); };
      const NormGradients g =
          layer_norm_backward(in(memory, as(gy)), in(memory, as(x)), as(weight), as(out.mean), as(out.rstd));
      const double bound = dtype == DType::float32 ? 2e-5 : 1e-8;
      for (uint64_t seed = 10; seed < 14; ++seed) {
        const Tensor dx = cast(random(x.shape(), seed), DType::float64), dw = cast(random({5}, seed), DType::float64);
        const double along_x = (loss(moved(x, dx, h), weight, bias) - loss(moved(x, dx, -h), weight, bias)) / (2 * h);
        const double along_w = (loss(x, moved(weight, dw, h), bias) - loss(x, moved(weight, dw, -h), bias)) / (2 * h);
        const double along_b = (loss(x, weight, moved(bias, dw, h)) - loss(x, weight, moved(bias, dw, -h))) / (2 * h);
        CHECK(std::abs(dot(cast(g.input, DType::float64), dx) - along_x) < bound);
        CHECK(std::abs(dot(cast(g.weight, DType::float64), dw) - along_w) < bound);
        CHECK(std::abs(dot(cast(g.bias, DType::float64), dw) - along_b) < bound);
      }
      check_within(layer_norm_backward(as(gy), as(x), {}, as(out.mean), as(out.rstd)).input,
                   layer_norm_backward(as(gy), as(x), Tensor::ones({5}, dtype), as(out.mean), as(out.rstd)).input,
                   [&](size_t) { return few(dtype); });
    }
}

TEST_CASE("layer norm names what does not fit") {
  const Tensor x = Tensor::zeros({2, 3}), three = Tensor::zeros({3}), two = Tensor::zeros({2});
  CHECK_THROWS_WITH_AS(layer_norm(three, {}, {}, 1e-5),
                       "[layer_norm] the input needs 2 dimensions [rows,columns], got [3]", Error);
  CHECK_THROWS_WITH_AS(layer_norm(Tensor::zeros({2, 0}), {}, {}, 1e-5),
                       "[layer_norm] rows of [2,0] have no elements to normalize", Error);
  CHECK_THROWS_WITH_AS(layer_norm(x, two, {}, 1e-5), "[layer_norm] the weight needs shape [3], got [2]", Error);
  CHECK_THROWS_WITH_AS(layer_norm(x, {}, two, 1e-5), "[layer_norm] the bias needs shape [3], got [2]", Error);
  CHECK_THROWS_AS(layer_norm(x, {}, {}, std::nan("")), Error);
  CHECK_THROWS_WITH_AS(layer_norm_backward(x, x, {}, three, two),
                       "[layer_norm_backward] the mean needs shape [2], got [3]", Error);
  CHECK_THROWS_AS(layer_norm_backward(three, x, {}, two, two), Error);
}

TEST_CASE("softmax sums to one along any dimension of any memory order, and its logarithm agrees") {
  for (const DType dtype : both)
    for (const Memory memory : every_memory)
      for (int dim = -4; dim < 4; ++dim) {
        const Tensor x = in(memory, cast(random({2, 3, 4, 5}, 1, -4, 4), dtype));
        const Tensor wide = cast(x, DType::float64);
        const Tensor expected = exp(wide) / sum(exp(wide), {dim}, true);
        check_within(softmax(x, dim), expected, [&](size_t) { return few(dtype); });
        check_within(log_softmax(x, dim), log(expected), [&](size_t) { return 8 * few(dtype); });
      }
}

TEST_CASE("softmax does not overflow") {
  for (const DType dtype : both) {
    const Tensor x = Tensor::from<double>({1e4, 1e4, -1e4}, {3});
    CHECK(elements(softmax(cast(x, dtype), 0)) == Values{0.5, 0.5, 0});
    const Values logs = elements(log_softmax(cast(x, dtype), 0));
    CHECK(logs[0] == doctest::Approx(-std::log(2)).epsilon(1e-6));
    CHECK(logs[2] == doctest::Approx(-2e4).epsilon(1e-4));
  }
  CHECK(softmax(Tensor::zeros({2, 0}), 1).shape() == Shape{2, 0});
  CHECK(softmax(Tensor::zeros({0, 2}), 1).shape() == Shape{0, 2});
}

TEST_CASE("softmax_backward is the derivative of both, for every memory order") {
  const double h = 1e-5;
  const Tensor x = cast(random({2, 3, 2, 2}, 1, -2, 2), DType::float64),
               gy = cast(random({2, 3, 2, 2}, 2), DType::float64);
  for (const bool log : {false, true})
    for (int dim = 0; dim < 4; ++dim) {
      const auto f = [&](const Tensor& t) { return log ? log_softmax(t, dim) : softmax(t, dim); };
      const Tensor dx = cast(random(x.shape(), 3), DType::float64);
      const double slope = (dot(gy, f(moved(x, dx, h))) - dot(gy, f(moved(x, dx, -h)))) / (2 * h);
      for (const Memory memory : every_memory)
        for (const DType dtype : both) {
          const Tensor gx = softmax_backward(in(memory, cast(gy, dtype)), in(memory, cast(f(x), dtype)), dim, log);
          CHECK(std::abs(dot(cast(gx, DType::float64), dx) - slope) < (dtype == DType::float32 ? 1e-5 : 1e-8));
        }
    }
}

TEST_CASE("cross-entropy is what log_softmax says of the labels, and its gradient the softmax less the target") {
  const Tensor x = Tensor::from<double>({1, 2, 3, -1, 0, 900}, {2, 3}), labels = Tensor::from<int64_t>({2, 0}, {2});
  const Tensor log_p = log_softmax(x, 1), p = softmax(x, 1);
  const double smoothing = 0.3, ones[] = {0, 0, 1, 1, 0, 0};
  const auto [losses, normalizers] = cross_entropy(x, labels, smoothing);
  const Values l = elements(log_p), probability = elements(p),
               gradient = elements(
                   cross_entropy_backward(Tensor::full({}, 2, DType::float64), x, labels, normalizers, smoothing, 0.5));
  const Tensor apart = transpose(contiguous(transpose(normalizers, 0, 1)), 0, 1);
  CHECK(elements(cross_entropy_backward(Tensor::full({}, 2, DType::float64), x, labels, apart, smoothing, 0.5)) ==
        gradient);
  CHECK_THROWS_WITH_AS(cross_entropy_backward(Tensor::full({}, 2, DType::float64), x, labels,
                                              cast(normalizers, DType::float32), smoothing, 0.5),
                       "[cross_entropy_backward] the normalizers must be float64, got float32", Error);
  for (size_t n = 0; n < 2; ++n) {
    double expected = 0;
    for (size_t k = 0; k < 3; ++k) {
      const double target = (1 - smoothing) * ones[3 * n + k] + smoothing / 3;
      expected -= target * l[3 * n + k];
      CHECK(gradient[3 * n + k] == doctest::Approx(probability[3 * n + k] - target).epsilon(1e-12));
    }
    CHECK(elements(losses)[n] == doctest::Approx(expected).epsilon(1e-12));
  }
  const double infinity = std::numeric_limits<double>::infinity();
  const auto loss_of = [](double first, double second) {
    const Tensor label = Tensor::zeros({1}, DType::int64);
    return elements(cross_entropy(Tensor::from<double>({first, second}, {1, 2}), label, 0).losses)[0];
  };
  CHECK(std::isnan(loss_of(infinity, 1)));
  CHECK(std::isnan(loss_of(1, std::nan(""))));
  CHECK(loss_of(0, -infinity) == 0);
  CHECK_THROWS_AS(cross_entropy(x, Tensor::zeros({3}, DType::int64), 0), Error);
  CHECK_THROWS_AS(cross_entropy(x, cast(labels, DType::int32), 0), Error);
  CHECK_THROWS_AS(cross_entropy(cast(x, DType::int64), labels, 0), Error);
}

TEST_CASE("softmax names what does not fit") {
  const Tensor x = Tensor::zeros({2, 3});
  CHECK_THROWS_AS(softmax(x, 2), Error);
  CHECK_THROWS_AS(log_softmax(Tensor::zeros({}), 0), Error);
  CHECK_THROWS_AS(softmax(cast(x, DType::int64), 0), Error);
  CHECK_THROWS_WITH_AS(softmax_backward(Tensor::zeros({3}), x, 0, false),
                       "[softmax_backward] the gradient needs shape [2,3], got [3]", Error);
}

TEST_CASE("dropout keeps and scales the elements whose draw is at least p") {
  const RandomKey key = {.seed = 5, .stream = 2, .offset = 7};
  const double p = 0.3;
  for (const DType dtype : both)
    for (const Memory memory : every_memory) {
      const Tensor x = in(memory, cast(random({3, 5, 7, 2}, 1, 1, 2), dtype));
      const Values from = elements(x), got = elements(dropout(x, p, key));
      for (size_t i = 0; i < from.size(); ++i) {
        const auto block = philox({key.seed, key.stream, key.offset + i / 4});
        const bool kept = to_unit_float(block[i % 4]) >= p;
        CHECK(got[i] == doctest::Approx(kept ? from[i] / (1 - p) : 0).epsilon(1e-6));
      }
    }
}

TEST_CASE("dropout drops about p of the elements, none for p of zero") {
  const Tensor x = Tensor::ones({100000});
  const double kept = sum(cast(greater(dropout(x, 0.3, {.seed = 1}), 0), DType::float64)).item() / 1e5;
  CHECK(std::abs(kept - 0.7) < 5 * std::sqrt(0.3 * 0.7 / 1e5));  // five standard deviations
  check_equal(dropout(x, 0, {.seed = 1}), x);
  CHECK_THROWS_WITH_AS(dropout(x, 1, {}), "[dropout] the probability to drop must lie in [0, 1), got 1", Error);
  CHECK_THROWS_AS(dropout(x, -0.1, {}), Error);
  CHECK_THROWS_AS(dropout(Tensor::ones({2}, DType::int64), 0.5, {}), Error);
}
