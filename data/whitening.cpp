#include "data/whitening.h"

#include "core/error.h"
#include "core/linalg.h"
#include "core/ops.h"
#include "core/ranges.h"
#include "data/loader.h"

namespace gradus {
namespace {

constexpr int64_t most_values = 4096;
constexpr int64_t rows_at_once = 500;  // whose products are summed in float32, and those sums in float64

/// g of each image, [n, height * width * channels].
Tensor normalize_contrast(const Tensor& images, double scale) {
  const Tensor rows = flatten(permute(images, {0, 2, 3, 1}), 1);
  const Tensor centered = rows - mean(rows, {1}, true);
  const Tensor norms = sqrt(sum(square(centered), {1}, true));
  // What is left of an image of one value is rounding.
  const Tensor least = sqrt(sum(square(rows), {1}, true)) * 1e-6;
  return where(greater(norms, least), centered * scale / norms, Tensor::zeros(rows.shape()));
}

}  // namespace

Whitening::Whitening(const Dataset& train, const WhiteningOptions& options)
    : channels_(train.info().channels),
      height_(train.info().height),
      width_(train.info().width),
      scale_(options.scale) {
  const int64_t d = train.image_size();
  if (d > most_values)
    fail(ErrorKind::value, "whitening", "an image of ", train.name(), " has ", d, " values, and more than ",
         most_values, " are too many for a matrix of their covariances");
  for (const auto& [name, value] : {std::pair("scale", options.scale), {"epsilon", options.epsilon}})
    if (!is_positive(value)) fail(ErrorKind::value, "whitening", name, " ", value, ": it must be positive and finite");

  Tensor total = Tensor::zeros({d}, DType::float64), products = Tensor::zeros({d, d}, DType::float64);
  for (const Batch& batch : Loader(train, {.batch = rows_at_once, .shuffle = false}).epoch(0)) {
    const Tensor rows = normalize_contrast(batch.images, scale_);
    add_(total, cast(sum(rows, {0}), DType::float64));
    add_(products, cast(matmul(transpose(rows, 0, 1), rows), DType::float64));
  }
  const auto count = static_cast<double>(train.size());
  const Tensor center = total / count;
  const Tensor covariance = products / count - reshape(center, {d, 1}) * center;
  mean_ = cast(center, DType::float32);
  matrix_ = cast(symmetric_power(covariance + Tensor::eye(d, DType::float64) * options.epsilon, -0.5, options.epsilon),
                 DType::float32);
}

Tensor Whitening::operator()(const Tensor& images) const {
  const Shape expected{images.defined() && images.rank() > 0 ? images.size(0) : 0, channels_, height_, width_};
  if (!images.defined() || images.shape() != expected)
    fail(ErrorKind::shape, "whitening", "expects images [n,", channels_, ",", height_, ",", width_, "], got ",
         images.defined() ? text(images.shape()) : "an undefined tensor");
  const Tensor rows = matmul(normalize_contrast(images, scale_) - mean_, matrix_);
  return permute(reshape(rows, {images.size(0), height_, width_, channels_}), {0, 3, 1, 2});
}

}  // namespace gradus
