// Running mean and variance of a stream of vectors, by which observations and rewards are normalized.
#pragma once

#include <span>
#include <vector>

#include "core/tensor.h"

namespace gradus::walker {

class Moments {
 public:
  explicit Moments(size_t size) : mean_(size, 0), squares_(size, 0) {}

  /// Welford's update, one row at a time: a pure function of the rows and their order.
  void add(std::span<const float> row);
  double mean(size_t i) const { return mean_[i]; }
  /// Of the population; 1 as long as nothing was added.
  double variance(size_t i) const { return count_ > 0 ? squares_[i] / count_ : 1; }

  /// [1 + 2 size] float64: count, means, sums of squared deviations.
  Tensor state() const;
  /// Throws ErrorKind::shape for a tensor of another size.
  void load(const Tensor& state);

 private:
  double count_ = 0;
  std::vector<double> mean_, squares_;
};

}  // namespace gradus::walker
