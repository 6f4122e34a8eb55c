#include "data/whitening.h"

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "core/error.h"
#include "core/ops.h"
#include "data/loader.h"

using namespace gradus;

namespace {

constexpr int64_t height = 2, width = 3, channels = 2, d = height * width * channels;

/// Images whose neighbors are alike, as those of photographs are.
Dataset smooth_images(int64_t count) {
  const DatasetInfo info{
      .name = "smooth", .channels = channels, .height = height, .width = width, .class_names = {"a"}};
  Generator random(5);
  std::vector<uint8_t> pixels;
  for (int64_t i = 0; i < count; ++i) {
    const auto base = static_cast<int64_t>(random.below(150));
    for (int64_t j = 0; j < d; ++j)
      pixels.push_back(static_cast<uint8_t>(base + 5 * j + static_cast<int64_t>(random.below(40))));
  }
  return Dataset(info, pixels, std::vector<int32_t>(static_cast<size_t>(count)));
}

/// g of every image by its definition, in float64, from bytes: scale and offset of pixels change nothing.
std::vector<std::vector<double>> contrasts(const Dataset& data, double scale) {
  std::vector<std::vector<double>> all;
  for (int64_t i = 0; i < data.size(); ++i) {
    std::vector<double> g(data.image(i).begin(), data.image(i).end());
    double mean = 0, squares = 0;
    for (double x : g) mean += x / static_cast<double>(d);
    for (double& x : g) {
      x -= mean;
      squares += x * x;
    }
    for (double& x : g) x *= scale / std::sqrt(squares);
    all.push_back(g);
  }
  return all;
}

Tensor all_images(const Dataset& data) {
  return Loader(data, {.batch = data.size(), .shuffle = false}).epoch(0).next()->images;
}

/// Of a batch, image by image in the order of [height, width, channels].
std::vector<double> values_of(const Tensor& images) {
  return cast(permute(images, {0, 2, 3, 1}), DType::float64).to_vector<double>();
}

void check_whitening(int64_t images) {
  CAPTURE(images);
  const Dataset data = smooth_images(images);
  const double scale = 4, epsilon = 0.05;
  const Whitening whitening(data, {.scale = scale, .epsilon = epsilon});
  const std::vector<std::vector<double>> g = contrasts(data, scale);
  const auto count = static_cast<double>(g.size());

  std::vector<double> mean(d), covariance(d * d);
  for (const auto& image : g)
    for (size_t i = 0; i < d; ++i) mean[i] += image[i] / count;
  for (const auto& image : g)
    for (size_t i = 0; i < d; ++i)
      for (size_t j = 0; j < d; ++j) covariance[i * d + j] += (image[i] - mean[i]) * (image[j] - mean[j]) / count;
  for (size_t i = 0; i < d; ++i) covariance[i * d + i] += epsilon;

  const std::vector<double> found_mean = cast(whitening.mean(), DType::float64).to_vector<double>();
  for (size_t i = 0; i < d; ++i) CHECK(std::abs(found_mean[i] - mean[i]) < 1e-6);
  const Tensor w = cast(whitening.matrix(), DType::float64);
  const Tensor c = Tensor::from(covariance, {d, d});
  CHECK(norm(w - transpose(w, 0, 1)) < 1e-6 * norm(w));
  // W is rounded to float32 (2^-24), and its largest elements are some 1 / sqrt(0.05), squared 20.
  CHECK(norm(matmul(matmul(w, c), w) - Tensor::eye(d, DType::float64)) < 1e-5);

  const std::vector<double> found = values_of(whitening(all_images(data))), matrix = w.to_vector<double>();
  double worst = 0;
  for (size_t n = 0; n < g.size(); ++n)
    for (size_t j = 0; j < d; ++j) {
      double expected = 0;
      for (size_t i = 0; i < d; ++i) expected += (g[n][i] - mean[i]) * matrix[i * d + j];
      worst = std::max(worst, std::abs(found[n * d + j] - expected));
    }
  CHECK(worst < 1e-5);  // sums of 12 products of numbers up to 4, in float32
}

}  // namespace

TEST_CASE("W is the inverse square root of covariance plus epsilon, and images are its products") {
  check_whitening(1203);                                         // three of the parts in which sums are taken
  for (const int64_t few : {12, 7, 2, 1}) check_whitening(few);  // by the products of images, not of values
}

TEST_CASE("an image of one value has no contrast") {
  const Dataset data = smooth_images(50);
  const Whitening whitening(data);
  const Tensor flat = Tensor::full({1, channels, height, width}, 0.7);
  const Tensor expected = matmul(reshape(-whitening.mean(), {1, d}), whitening.matrix());
  const std::vector<double> found = values_of(whitening(flat));
  const std::vector<double> wanted = cast(expected, DType::float64).to_vector<double>();
  for (size_t i = 0; i < d; ++i) CHECK(found[i] == doctest::Approx(wanted[i]).epsilon(1e-6));
}

TEST_CASE("a loader whitens its batches, wherever it makes them") {
  const Dataset data = smooth_images(60);
  const Whitening whitening(data);
  const LoaderOptions plain{.batch = 32, .seed = 3, .augment = Augment::standard};
  for (const bool resident : {false, true}) {
    LoaderOptions options = plain;
    options.batch_transform = whitening;
    options.resident = resident;
    auto expected = Loader(data, plain).epoch(1);
    for (const auto& [images, labels] : Loader(data, options).epoch(1)) {
      const Batch batch = *expected.next();
      CHECK(values_of(images) == values_of(whitening(batch.images)));
      CHECK(labels.to_vector<int64_t>() == batch.labels.to_vector<int64_t>());
    }
  }
}

TEST_CASE("whitening and batch transforms name what does not fit") {
  const Dataset data = smooth_images(10);
  CHECK_THROWS_WITH_AS(Whitening(data, {.scale = 0}), "[whitening] scale 0: it must be positive and finite", Error);
  CHECK_THROWS_WITH_AS(Whitening(data, {.epsilon = std::nan("")}),
                       "[whitening] epsilon nan: it must be positive and finite", Error);
  const DatasetInfo large{.name = "large", .channels = 3, .height = 40, .width = 40, .class_names = {"a"}};
  CHECK_THROWS_WITH_AS(Whitening(Dataset(large, std::vector<uint8_t>(4800), {0})),
                       "[whitening] an image of large has 4800 values, and more than 4096 are too many for a matrix of "
                       "their covariances",
                       Error);
  const Whitening whitening(data);
  CHECK_THROWS_WITH_AS(whitening(Tensor::zeros({5, 3, 2, 2})), "[whitening] expects images [n,2,2,3], got [5,3,2,2]",
                       Error);
  CHECK_THROWS_WITH_AS(whitening(Tensor()), "[whitening] expects images [n,2,2,3], got an undefined tensor", Error);
  CHECK_THROWS_WITH_AS(whitening(Tensor::zeros({})), "[whitening] expects images [n,2,2,3], got []", Error);
  const Loader loader(data, {.batch = 5, .batch_transform = [](const Tensor& x) { return slice(x, 0, 0, 2); }});
  CHECK_THROWS_WITH_AS(loader.epoch(0).next(),
                       "[loader] the batch transform made [2,2,2,3] of images [5,2,2,3]: it has to keep the shape",
                       Error);
}
