#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "core/error.h"
#include "tests/autograd/slopes.h"

using namespace gradus;
using namespace gradus::testing;

namespace {

const Values scores = {0.5, -1.0, 2.0, 3.0, 0.0, -2.0};
const std::vector<int64_t> classes = {2, 1};

/// -sum_k q_k log p_k for row i, where q is 1 - s at the label plus s / 3 everywhere (Szegedy et al. 2016, section 7).
double smoothed_loss(size_t i, double s) {
  double z = 0, loss = 0;
  for (size_t k = 0; k < 3; ++k) z += std::exp(scores[3 * i + k]);
  for (size_t k = 0; k < 3; ++k) {
    const double q = s / 3 + (k == size_t(classes[i]) ? 1 - s : 0);
    loss -= q * (scores[3 * i + k] - std::log(z));
  }
  return loss;
}

Tensor labels() { return Tensor::from(classes, {2}); }

}  // namespace

TEST_CASE("cross_entropy is the formula, with and without smoothing, reduced in each way") {
  const Var x = leaf(scores, {2, 3});
  for (double s : {0.0, 0.1, 1.0}) {
    const double first = smoothed_loss(0, s), second = smoothed_loss(1, s);
    CHECK(cross_entropy(x, labels(), {s}).item() == doctest::Approx((first + second) / 2).epsilon(1e-14));
    CHECK(cross_entropy(x, labels(), {s, Reduction::sum}).item() == doctest::Approx(first + second).epsilon(1e-14));
    const Values each = cross_entropy(x, labels(), {s, Reduction::none}).value().to_vector<double>();
    REQUIRE(each.size() == 2);
    CHECK(each[0] == doctest::Approx(first).epsilon(1e-14));
    CHECK(each[1] == doctest::Approx(second).epsilon(1e-14));
  }
}

TEST_CASE("cross_entropy of every pixel is that of the rows, and passes over labels that are to be ignored") {
  const Var x = Var::leaf(random_normal({2, 3, 2, 2}, 0, 1, {7}, DType::float64));
  const Tensor y = Tensor::from<int64_t>({0, 2, 1, 9, 9, 2, 2, 0}, {2, 2, 2});
  const Tensor each = cross_entropy(x, y, {.label_smoothing = 0.1, .reduction = Reduction::none, .ignore = 9}).value();
  REQUIRE(each.shape() == y.shape());
  const Tensor rows = reshape(permute(x.value(), {0, 2, 3, 1}), {8, 3});
  double total = 0;
  for (int64_t i = 0; i < 8; ++i) {
    const Tensor label = slice(reshape(y, {8}), 0, i, i + 1);
    const double wanted = label.item() == 9 ? 0 : cross_entropy(Var(slice(rows, 0, i, i + 1)), label, {0.1}).item();
    CHECK(each.to_vector<double>()[static_cast<size_t>(i)] == doctest::Approx(wanted).epsilon(1e-14));
    total += wanted;
  }
  const auto reduced = [&](Reduction reduction) { return cross_entropy(x, y, {0.1, reduction, 9}); };
  CHECK(reduced(Reduction::sum).item() == doctest::Approx(total).epsilon(1e-14));
  CHECK(reduced(Reduction::mean).item() == doctest::Approx(total / 6).epsilon(1e-14));
  // Where nothing counts, neither loss nor gradient is anything but 0.
  const Var nothing = cross_entropy(x, Tensor::full({2, 2, 2}, -100, DType::int64), {.ignore = -100});
  CHECK(nothing.item() == 0);
  CHECK(slopes(nothing, x) == Values(24, 0.0));
  // And what is ignored need not be a number.
  const double infinity = std::numeric_limits<double>::infinity();
  const Var wild = leaf({infinity, 0, 1, 2}, {2, 2});
  const Var one = cross_entropy(wild, Tensor::from<int64_t>({-1, 0}, {2}), {.ignore = -1});
  CHECK(one.item() == doctest::Approx(std::log1p(std::exp(1))));
  const Values g = slopes(one, wild);
  CHECK(g[0] == 0);
  CHECK(g[1] == 0);
  CHECK(g[2] == doctest::Approx(-g[3]));
  CHECK_THROWS_WITH_AS(cross_entropy(x, Tensor(), {.ignore = 1}),
                       doctest::Contains("[cross_entropy] the vector of labels"), Error);
  CHECK_THROWS_WITH_AS(cross_entropy(wild, Tensor::zeros({2}, DType::int32), {.ignore = 1}),
                       doctest::Contains("[cross_entropy] labels must be int64, got int32"), Error);
  CHECK_THROWS_WITH_AS(cross_entropy(wild, Tensor::zeros({3}, DType::int64), {.ignore = 1}),
                       doctest::Contains("[cross_entropy] expects logits [N, K] and labels [N], got [2,2] and [3]"),
                       Error);
  CHECK_THROWS_WITH_AS(cross_entropy(x, Tensor::zeros({2, 1, 2, 2}, DType::int64)),
                       "[cross_entropy] expects logits [N, K, d...] and labels [N, d...], got [2,3,2,2] and [2,1,2,2]",
                       Error);
  CHECK_THROWS_WITH_AS(cross_entropy(wild, Tensor::zeros({2, 2}, DType::int64)),
                       doctest::Contains(". Probabilities, one-hot ones too, are floating: cast() them"), Error);
  CHECK_THROWS_WITH_AS(cross_entropy(x, Tensor::zeros({2, 3, 2}, DType::int64)),
                       doctest::Contains(". Classes that come last are brought second"), Error);
  CHECK_THROWS_WITH_AS(cross_entropy(x, y),
                       "[cross_entropy] label 9 at position [0,1,1] is not in [0, 3): the logits are [2,3,2,2]", Error);
}

namespace {

void check_near(const Tensor& got, const Values& expected) {
  const Values values = got.to_vector<double>();
  REQUIRE(values.size() == expected.size());
  for (size_t i = 0; i < values.size(); ++i) CHECK(values[i] == doctest::Approx(expected[i]).epsilon(1e-13));
}

const Values three_rows = {0.5, -1.0, 2.0, 1.5, 0.25, -0.5, -2.0, 3.0, 0.75};

}  // namespace

TEST_CASE("cross_entropy by class has PyTorch's values, divided by the weights that count") {
  const Var x = leaf(three_rows, {3, 3});
  const Tensor y = Tensor::from<int64_t>({2, 0, -100}, {3}), weights = Tensor::from<double>({0.5, 2, 4}, {3});
  const auto loss = [&](Reduction reduction) {
    return cross_entropy(x, y, {.reduction = reduction, .ignore = -100, .class_weights = weights});
  };
  check_near(loss(Reduction::mean).value(), {0.2536046930066731});
  check_near(loss(Reduction::sum).value(), {1.141221118530029});
  check_near(loss(Reduction::none).value(), {0.9652451866286281, 0.1759759319014009, 0.0});
  check_near(grad(loss(Reduction::mean), x).value(),
             {0.15581368190225484, 0.03476673179616662, -0.19058041369842144, -0.03296511377535845, 0.02238920309211677,
              0.010575910683241665, 0, 0, 0});
  CHECK(cross_entropy(x, Tensor::full({3}, -100, DType::int64), {.ignore = -100, .class_weights = weights}).item() ==
        0);
  CHECK_THROWS_WITH_AS(
      cross_entropy(x, y, {.ignore = -100, .class_weights = Tensor::ones({2})}),
      "[cross_entropy] expects one class weight for each of the 3 classes of the logits [3,3], got [2]", Error);
  CHECK_THROWS_AS(cross_entropy(x, y, {.label_smoothing = 0.1, .ignore = -100, .class_weights = weights}), Error);
  CHECK_THROWS_AS(cross_entropy(x, y, {.ignore = -100, .class_weights = Tensor::ones({4})}), Error);
  CHECK_THROWS_WITH_AS(cross_entropy(x, softmax(x.value(), 1), {.class_weights = weights}),
                       "[cross_entropy] probabilities go with neither ignore nor class_weights", Error);
}

TEST_CASE("a row that is ignored may hold anything, and only its own label is passed over") {
  const double nan = std::numeric_limits<double>::quiet_NaN(), inf = std::numeric_limits<double>::infinity();
  const Var x = leaf({0, 0, nan, inf}, {2, 2});
  const Var loss = cross_entropy(x, Tensor::from<int64_t>({1, 255}, {2}), {.ignore = 255});
  CHECK(loss.item() == doctest::Approx(std::log(2)).epsilon(1e-15));
  for (const bool create_graph : {true, false})
    CHECK(grad(loss, x, {.create_graph = create_graph}).value().to_vector<double>() ==
          std::vector<double>{0.5, -0.5, 0, 0});
  CHECK_THROWS_WITH_AS(cross_entropy(x, Tensor::from<int64_t>({2, 255}, {2}), {.ignore = 255}),
                       doctest::Contains("[cross_entropy] label 2 at position 0 is not in [0, 2)"), Error);
}

TEST_CASE("cross_entropy of probabilities has PyTorch's values, also of pixels and of huge logits") {
  const Var x = leaf(three_rows, {3, 3});
  const Tensor target = Tensor::from<double>({0.2, 0.3, 0.5, 0, 1, 0, 0.25, 0.25, 0.25}, {3, 3});
  const auto loss = [&](double smoothing, Reduction reduction) {
    return cross_entropy(x, target, {.label_smoothing = smoothing, .reduction = reduction});
  };
  check_near(loss(0, Reduction::mean).value(), {1.6451586061385644});
  check_near(loss(0, Reduction::none).value(), {1.441311296657157, 1.6019518638028019, 1.8922126579557335});
  check_near(loss(0.1, Reduction::sum).value(), {5.011882907014217});
  check_near(loss(0.1, Reduction::none).value(), {1.471311296657157, 1.585285197136135, 1.9552864132209247});
  check_near(grad(loss(0, Reduction::mean), x).value(),
             {-0.008236535953321104, -0.0869624755764375, 0.09519901152975863, 0.23443799200725796, -0.266165724056983,
              0.031727732049724996, -0.08181869395894115, 0.14145908112136057, -0.05964038716241937});
  // [1, 3, 3] with the classes in the middle: the same rows.
  const auto pixels = [](const Tensor& rows) { return unsqueeze(transpose(rows, 0, 1), 0); };
  const Tensor each = cross_entropy(pixels(x.value()), pixels(target), {.reduction = Reduction::none}).value();
  CHECK(each.shape() == Shape{1, 3});
  check_near(each, {1.441311296657157, 1.6019518638028019, 1.8922126579557335});
  // What is added to a row's logits changes nothing: in float32 1e5 leaves two digits behind the point.
  const Tensor far = Tensor::from<float>({1e5F, 1e5F + 1, 1e5F - 1}, {1, 3});
  const Tensor some = Tensor::from<float>({0.25F, 0.5F, 0.25F}, {1, 3});
  CHECK(cross_entropy(far, some).item() == doctest::Approx(cross_entropy(far - 1e5, some).item()).epsilon(1e-6));
  CHECK_THROWS_WITH_AS(cross_entropy(x, Tensor::ones({3})),
                       "[cross_entropy] expects probabilities shaped like the logits [N, K, d...], got [3] and [3,3]; "
                       "classes are int64: cast() them",
                       Error);
  CHECK_THROWS_AS(cross_entropy(x, target, {.ignore = 1}), Error);
}

TEST_CASE("labels of pixels that are no class are named where they are") {
  const Var x = Tensor::zeros({1, 3, 2, 2});
  CHECK_THROWS_WITH_AS(
      cross_entropy(x, Tensor::from<int64_t>({0, 1, 255, 2}, {1, 2, 2})),
      "[cross_entropy] label 255 at position [0,1,0] is not in [0, 3): the logits are [1,3,2,2]; if it "
      "does not count, say .ignore = 255",
      Error);
}

TEST_CASE("the gradient of cross_entropy is the softmax minus the target, over N for the mean") {
  const Var x = leaf(scores, {2, 3});
  const double s = 0.3;
  const Values p = softmax(x.value(), 1).to_vector<double>();
  const Values mean = slopes(cross_entropy(x, labels(), {s}), x);
  const Values total = slopes(cross_entropy(x, labels(), {s, Reduction::sum}), x);
  for (size_t i = 0; i < 6; ++i) {
    const double target = s / 3 + (int64_t(i % 3) == classes[i / 3] ? 1 - s : 0);
    CHECK(total[i] == doctest::Approx(p[i] - target).epsilon(1e-14));
    CHECK(mean[i] == doctest::Approx((p[i] - target) / 2).epsilon(1e-14));
  }
}

TEST_CASE("cross_entropy of huge float32 logits neither overflows nor loses the gradient") {
  const Var x = Var::leaf(Tensor::from<float>({1e4f, -1e4f, 0}, {1, 3}));
  const Var loss = cross_entropy(x, Tensor::from<int64_t>({1}, {1}));
  CHECK(loss.item() == 2e4);
  CHECK(slopes(loss, x) == Values{1, -1, 0});
}

TEST_CASE("cross_entropy of equal logits is log K, however large they are") {
  for (const double size : {1e9, 1e16, 1e30, -1e30})
    for (const DType dtype : {DType::float32, DType::float64})
      for (const double s : {0.0, 0.1}) {
        const Var x = Var::leaf(Tensor::full({1, 4}, size, dtype));
        const Var loss = cross_entropy(x, Tensor::zeros({1}, DType::int64), {s});
        CHECK(loss.item() == doctest::Approx(std::log(4)).epsilon(1e-7));
        const Values g = slopes(loss, x);
        for (size_t k = 0; k < 4; ++k)
          CHECK(g[k] == doctest::Approx(0.25 - s / 4 - (k == 0 ? 1 - s : 0)).epsilon(1e-7));
      }
}

TEST_CASE("cross_entropy explains labels that do not fit") {
  const Var x = leaf(scores, {2, 3});
  CHECK_THROWS_WITH_AS(cross_entropy(x, Tensor::from<int64_t>({0, 3}, {2})),
                       "[cross_entropy] label 3 at position 1 is not in [0, 3): the logits are [2,3]", Error);
  CHECK_THROWS_WITH_AS(cross_entropy(x, Tensor::from<int64_t>({-1, 0}, {2})),
                       doctest::Contains("label -1 at position 0"), Error);
  CHECK_THROWS_WITH_AS(cross_entropy(x, Tensor::from<int64_t>({0, 1, 2}, {3})),
                       doctest::Contains("expects logits [N, K] and labels [N], got [2,3] and [3]"), Error);
  CHECK_THROWS_WITH_AS(cross_entropy(x, Tensor::from<int32_t>({0, 1}, {2})),
                       doctest::Contains("labels must be int64, got int32"), Error);
  CHECK_THROWS_WITH_AS(cross_entropy(x, Tensor()),
                       doctest::Contains("[cross_entropy] the vector of labels is an undefined tensor"), Error);
  CHECK_THROWS_WITH_AS(cross_entropy(Var(), labels()), doctest::Contains("the input is an undefined tensor"), Error);
  CHECK_THROWS_WITH_AS(cross_entropy(x, labels(), {1.5}), doctest::Contains("label_smoothing must be in [0, 1]"),
                       Error);
}

TEST_CASE("labels that were changed after the forward pass are noticed") {
  const Var x = leaf(scores, {2, 3});
  Tensor changed = labels();
  const Var loss = cross_entropy(x, changed);
  fill_(changed, 0);
  CHECK_THROWS_WITH(static_cast<void>(slopes(loss, x)), doctest::Contains("[cross_entropy] a tensor [2] saved"));
}

TEST_CASE("mse_loss averages over every element, and its target may need a gradient too") {
  const Var x = leaf({1, 2, 3, 4}, {2, 2}), t = leaf({1, 0, 0, 0}, {2, 2});
  const Var loss = mse_loss(x, t);
  CHECK(loss.item() == (0 + 4 + 9 + 16) / 4.0);
  CHECK(slopes(loss, x) == Values{0, 1, 1.5, 2});
  CHECK(slopes(loss, t) == Values{0, -1, -1.5, -2});
}

TEST_CASE("mse_loss refuses to broadcast, and like gaussian_nll_loss needs all its operands") {
  const Var x = leaf({1, 2});
  CHECK_THROWS_WITH_AS(gaussian_nll_loss(x, x, Var()),
                       doctest::Contains("mean, variance or target is an undefined tensor"), Error);
  CHECK_THROWS_WITH_AS(mse_loss(Var(), x), doctest::Contains("the input is an undefined tensor"), Error);
  CHECK_THROWS_WITH_AS(mse_loss(x, Var()), doctest::Contains("the target is an undefined tensor"), Error);
  CHECK_THROWS_WITH_AS(mse_loss(leaf({1, 2}, {2, 1}), leaf({1, 2})),
                       doctest::Contains("[mse_loss] input and target must have the same shape, got [2,1] and [2]"),
                       Error);
  CHECK_THROWS_WITH_AS(mse_loss(leaf({1, 2}), Tensor::zeros({2}, DType::int64)),
                       "[mse_loss] input and target must have the same dtype, got float64 and int64: cast() one",
                       Error);
}

TEST_CASE("dropout drops in its gradient what it dropped in its result") {
  const Var x = Var::leaf(Tensor::ones({1000}, DType::float64));
  const Var y = dropout(x, 0.25, {.seed = 9});
  CHECK(slopes(y, x) == y.value().to_vector<double>());
}

TEST_CASE("L1, Huber and binary cross-entropy have the values computed by hand, and meet targets of their own shape") {
  const Var x = Var::leaf(Tensor::from<double>({0.5, -3, 2}, {3}));
  const Tensor target = Tensor::from<double>({0, 1, 2}, {3});
  const auto values = [](const Var& y) { return y.value().to_vector<double>(); };
  CHECK(values(l1_loss(x, target, Reduction::none)) == std::vector<double>{0.5, 4, 0});
  CHECK(l1_loss(x, target).item() == 1.5);
  CHECK(values(huber_loss(x, target, 2, Reduction::none)) == std::vector<double>{0.125, 6, 0});
  CHECK(huber_loss(x, target, 2, Reduction::sum).item() == 6.125);
  // log(1 + e^0.5); 3 + log(1 + e^-3); a target of 0.25 at 800, where e^x overflows: 800 (1 - 0.25).
  const Var logits = Var::leaf(Tensor::from<double>({0.5, -3, 800}, {3}));
  const auto entropy =
      values(binary_cross_entropy_with_logits(logits, Tensor::from<double>({0, 1, 0.25}, {3}), Reduction::none));
  CHECK(entropy[0] == doctest::Approx(0.974076984).epsilon(1e-9));
  CHECK(entropy[1] == doctest::Approx(3.048587352).epsilon(1e-9));
  CHECK(entropy[2] == 600);
  const Var column = Tensor::zeros({3, 1}, DType::float64);
  CHECK_THROWS_AS(l1_loss(x, column), Error);
  CHECK_THROWS_AS(huber_loss(x, column), Error);
  CHECK_THROWS_AS(binary_cross_entropy_with_logits(x, column), Error);
  CHECK_THROWS_AS(huber_loss(x, target, 0), Error);
}
