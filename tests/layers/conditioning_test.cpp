// Condition numbers of extended hidden matrices, against hand computations.
#include "layers/conditioning.h"

#include <doctest/doctest.h>

#include <cmath>

#include "core/error.h"
#include "core/random.h"
#include "layers/container.h"
#include "layers/conv.h"
#include "layers/linear.h"
#include "tests/data/temporary_folder.h"

using namespace gradus;

TEST_CASE("the condition number is that of [1, H], by hand") {
  // Columns (1,1), (3,-3): orthogonal, of lengths sqrt 2 and 3 sqrt 2.
  CHECK(condition_number(Tensor::from<double>({3, -3}, {2, 1})) == doctest::Approx(3));
  // (1,1) and (2,4): the Gram matrix [[2,6],[6,20]] has eigenvalues 11 +- sqrt 117.
  CHECK(condition_number(Tensor::from<float>({2, 4}, {2, 1})) ==
        doctest::Approx(std::sqrt((11 + std::sqrt(117.0)) / (11 - std::sqrt(117.0)))).epsilon(1e-9));
  // A constant column is a multiple of the ones: the zero singular value does not count.
  CHECK(condition_number(Tensor::from<double>({3, 5, -3, 5}, {2, 2})) == doctest::Approx(std::sqrt(52.0 / 18)));
  CHECK_THROWS_AS(condition_number(Tensor::ones({3})), Error);
}

TEST_CASE("standardized independent columns are well conditioned, whatever they were") {
  const Tensor scales = Tensor::from<float>({0.01f, 1, 100}, {3}), shifts = Tensor::from<float>({5, -20, 300}, {3});
  const Tensor x = random_normal({2000, 3}, 0, 1, {.seed = 1}) * scales + shifts;
  Sequential net(Linear(3, 2));
  const auto report = conditioning(net, x);
  REQUIRE(report.size() == 1);
  CHECK(report[0].layer == "0");
  CHECK(report[0].rows == 2000);
  CHECK(report[0].columns == 3);
  CHECK(report[0].plain > 1e4);
  CHECK(report[0].batch_norm < 1.2);
  CHECK(report[0].batch_norm >= 1);
}

TEST_CASE("the rows of a convolution are its windows, and its report is that of the dense layer on them") {
  const Tensor x = random_normal({6, 2, 5, 4}, 1, 2, {.seed = 2});
  Sequential net(Conv2d(2, 3, {.kernel = {3, 2}, .stride = {2, 1}, .padding = {1, 0}}));
  const auto report = conditioning(net, x);
  CHECK(report[0].rows == 6 * 3 * 3);
  CHECK(report[0].columns == 12);
  std::vector<float> rows;
  const auto at = [&](int64_t n, int64_t c, int64_t i, int64_t j) {
    return i < 0 || i >= 5 ? 0 : x.to_vector<float>()[static_cast<size_t>(((n * 2 + c) * 5 + i) * 4 + j)];
  };
  for (int64_t n = 0; n < 6; ++n)
    for (int64_t i = 0; i < 3; ++i)
      for (int64_t j = 0; j < 3; ++j)
        for (int64_t c = 0; c < 2; ++c)
          for (int64_t a = 0; a < 3; ++a)
            for (int64_t b = 0; b < 2; ++b) rows.push_back(at(n, c, 2 * i + a - 1, j + b));
  CHECK(report[0].plain == doctest::Approx(condition_number(Tensor::from(rows, {54, 12}))).epsilon(1e-6));
  for (double number : {report[0].batch_norm, report[0].layer_norm, report[0].group_norm}) CHECK(number >= 1);
}

TEST_CASE("every layer is reported in order, and rows may be thinned") {
  Sequential net(Conv2d(3, 4, {.kernel = 3}), ReLU(), Flatten(), Linear(4 * 36, 5), Tanh(), Linear(5, 2));
  const auto report = conditioning(net, random_normal({40, 3, 8, 8}, 0, 1, {.seed = 3}), {.max_rows = 100});
  REQUIRE(report.size() == 3);
  CHECK(report[0].layer == "0");
  CHECK(report[2].layer == "5");
  CHECK(report[0].plain < report[1].plain);
  CHECK(net.training());
  CHECK(contains(error_of([&] {
                   conditioning(net, Tensor::ones({2, 3, 8, 8}), {.max_rows = 0});
                 }),
                 "[conditioning] expects max_rows of at least 1, got 0"));
}

TEST_CASE("rows are thinned to at most as many as were asked for") {
  const Tensor x = random_normal({5, 1}, 0, 1, {.seed = 4});
  Sequential net(Linear(1, 1));
  // every third row, so that no more than two are left
  CHECK(conditioning(net, x, {.max_rows = 2})[0].plain ==
        doctest::Approx(condition_number(slice(x, 0, 0, 5, 3))).epsilon(1e-12));
}

TEST_CASE("grouped convolutions, which are several layers, are not reported, and no number of groups is out of range") {
  Sequential grouped(Conv2d(2, 2, {.kernel = 1, .groups = 2}));
  CHECK(conditioning(grouped, Tensor::ones({2, 2, 3, 3})).empty());
  Sequential net(Linear(6, 1));
  const Tensor x = random_normal({10, 6}, 0, 1, {.seed = 5});
  const auto number = [&](int64_t groups) { return conditioning(net, x, {.groups = groups})[0].group_norm; };
  CHECK(number(0) == number(1));
  CHECK(number(100) == number(6));
  CHECK(number(4) == number(3));
}
