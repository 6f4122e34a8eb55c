#include "data/synthetic.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "core/parallel.h"
#include "data/permutation.h"
#include "tests/data/temporary_folder.h"

using namespace gradus;

namespace {

/// Softmax regression on pixels by stochastic gradient descent; the fraction of test images that it labels rightly.
double accuracy_of_linear_model(const Dataset& train, const Dataset& test, int epochs, float learning_rate) {
  constexpr size_t classes = 10;
  const auto inputs = static_cast<size_t>(train.image_size());
  std::vector<float> weights(classes * inputs), bias(classes), x(inputs);
  const auto logits = [&](std::span<const uint8_t> image) {
    for (size_t i = 0; i < inputs; ++i) x[i] = static_cast<float>(image[i]) / 128 - 1;
    std::vector<float> out(bias);
    for (size_t c = 0; c < classes; ++c)
      for (size_t i = 0; i < inputs; ++i) out[c] += weights[c * inputs + i] * x[i];
    return out;
  };
  for (int epoch = 0; epoch < epochs; ++epoch)
    for (int64_t index : random_permutation(train.size(), 1, static_cast<uint64_t>(epoch))) {
      std::vector<float> p = logits(train.image(index));
      const float largest = *std::max_element(p.begin(), p.end());
      float sum = 0;
      for (float& value : p) sum += value = std::exp(value - largest);
      for (size_t c = 0; c < classes; ++c) {
        const float step = learning_rate * (p[c] / sum - (train.label(index) == static_cast<int64_t>(c) ? 1.0f : 0.0f));
        for (size_t i = 0; i < inputs; ++i) weights[c * inputs + i] -= step * x[i];
        bias[c] -= step;
      }
    }
  int64_t right = 0;
  for (int64_t index = 0; index < test.size(); ++index) {
    const std::vector<float> out = logits(test.image(index));
    right += std::max_element(out.begin(), out.end()) - out.begin() == test.label(index);
  }
  return static_cast<double>(right) / static_cast<double>(test.size());
}

}  // namespace

TEST_CASE("the synthetic set is ten balanced classes of 32 x 32 RGB images") {
  const DataSplits splits = make_synthetic({.train = 200, .test = 50});
  CHECK(splits.train.name() == "synthetic");
  CHECK(splits.train.size() == 200);
  CHECK(splits.test.size() == 50);
  CHECK(splits.train.image_size() == 3 * 32 * 32);
  CHECK(splits.train.num_classes() == 10);
  for (int32_t label = 0; label < 10; ++label) CHECK(std::ranges::count(splits.train.labels(), label) == 20);
}

TEST_CASE("the synthetic set is the same bytes on every machine") {
  CHECK(make_synthetic({.train = 1000, .test = 10}).train.checksum() == "b845fea3294cc2d0687e707b900785b6");
}

TEST_CASE("a synthetic image depends on seed, split and number only") {
  const DataSplits few = make_synthetic({.train = 20, .test = 20}), many = make_synthetic({.train = 300, .test = 20});
  CHECK(std::ranges::equal(few.train.pixels(), many.train.pixels().first(few.train.pixels().size())));
  CHECK(few.train.checksum() != few.test.checksum());
  CHECK(make_synthetic({.train = 20, .test = 20, .seed = 1}).train.checksum() != few.train.checksum());
  const int threads = num_threads();
  set_num_threads(1);
  CHECK(make_synthetic({.train = 300, .test = 20}).train.checksum() == many.train.checksum());
  set_num_threads(threads);
}

TEST_CASE("a linear model finds the colors of the synthetic set, but stays below 60 %") {
  const DataSplits splits = make_synthetic({.train = 8000, .test = 1000});
  const double accuracy = accuracy_of_linear_model(splits.train, splits.test, 4, 1e-4f);
  MESSAGE("a linear model reaches ", accuracy);
  CHECK(accuracy > 0.25);
  CHECK(accuracy < 0.6);
}

TEST_CASE("a negative number of synthetic images is refused") {
  CHECK(contains(error_of([] { make_synthetic({.train = -1}); }), "asked for -1 images"));
}
