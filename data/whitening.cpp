#include "data/whitening.h"

#include <cmath>
#include <vector>

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

/// (X^T X / n + epsilon I)^(-1/2) for rows X [n, d], float64, by the eigenvalues of a matrix [n, n]. With X X^T / n =
/// U diag(s) U^T it is
///
///   I / sqrt(epsilon) - X^T U diag(h) U^T X / n,  h = 1 / (sqrt(epsilon) r (r + sqrt(epsilon))),  r = sqrt(s +
///   epsilon),
///
/// where h is what ((s + epsilon)^(-1/2) - epsilon^(-1/2)) / s is, without its difference.
Tensor inverse_root_of_few(const Tensor& x, double epsilon) {
  const auto n = static_cast<double>(x.size(0));
  const SymmetricEigen eigen = symmetric_eigen(matmul(x, transpose(x, 0, 1)) / n);
  const Tensor r = sqrt(maximum(eigen.values, 0.0) + epsilon);
  const double root = std::sqrt(epsilon);
  const Tensor projected = matmul(transpose(eigen.vectors, 0, 1), x);  // U^T X
  const Tensor h = 1 / (r * (r + root) * (root * n));
  return Tensor::eye(x.size(1), DType::float64) / root -
         matmul(transpose(projected, 0, 1), reshape(h, {x.size(0), 1}) * projected);
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

  const bool few = train.size() <= d;
  std::vector<Tensor> all;  // where there are few
  Tensor total = Tensor::zeros({d}, DType::float64), products = few ? Tensor() : Tensor::zeros({d, d}, DType::float64);
  for (const Batch& batch : Loader(train, {.batch = rows_at_once, .shuffle = false}).epoch(0)) {
    const Tensor rows = normalize_contrast(batch.images, scale_);
    add_(total, cast(sum(rows, {0}), DType::float64));
    if (few)
      all.push_back(cast(rows, DType::float64));
    else
      add_(products, cast(matmul(transpose(rows, 0, 1), rows), DType::float64));
  }
  const auto count = static_cast<double>(train.size());
  const Tensor center = total / count;
  mean_ = cast(center, DType::float32);
  if (few) {
    matrix_ = cast(inverse_root_of_few(concat(all, 0) - center, options.epsilon), DType::float32);
    return;
  }
  const Tensor covariance = products / count - reshape(center, {d, 1}) * center;
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
