// Global contrast normalization and ZCA whitening, the preprocessing of CIFAR-10 that networks of the years before
// batch normalization were published with, All-CNN-C among them (Springenberg et al. 2014, section 3.1).
#pragma once

#include "core/tensor.h"
#include "data/dataset.h"

namespace gradus {

/// As in the preprocessing of Maxout networks (Goodfellow et al. 2013), which All-CNN-C takes over.
struct WhiteningOptions {
  double scale = 55;     ///< norm of every image once its mean is subtracted: about 1 per value, for 3 x 32 x 32
  double epsilon = 0.1;  ///< added to every variance, so that directions without one are not blown up
};

/// A linear map of images that makes all directions of a training set equally important, made for batches:
///
///   Loader batches(data.train, {.batch_transform = Whitening(data.train)});
///
/// Of an image x of d = channels * height * width values it makes g = scale (x - mean of x) / |x - mean of x|, and of
/// that W (g - m), where m is the mean of all g and W = (C + epsilon)^(-1/2), C being their covariance. Copies share
/// the d x d numbers of W.
class Whitening {
 public:
  /// Takes the sums over the whole set and d^3 for the eigenvalues of C: half a minute for 3 x 32 x 32; n^3 for a set
  /// of n <= d images. Throws ErrorKind::value where d is above 4096, the set is empty, or an option is not positive
  /// and finite.
  explicit Whitening(const Dataset& train, const WhiteningOptions& options = {});

  /// images: float32 [n, channels, height, width]; so is the result, channels-last in memory. An image of one color
  /// value has g = 0. Throws ErrorKind::shape where the images are of another size.
  Tensor operator()(const Tensor& images) const;

  /// W [d, d], symmetric, and m [d]; the order of values is that of [height, width, channels].
  const Tensor& matrix() const { return matrix_; }
  const Tensor& mean() const { return mean_; }

 private:
  int64_t channels_, height_, width_;
  double scale_;
  Tensor mean_, matrix_;  // float32
};

}  // namespace gradus
