#include "apps/walker/moments.h"

#include "core/error.h"

namespace gradus::walker {

void Moments::add(std::span<const float> row) {
  count_ += 1;
  for (size_t i = 0; i < mean_.size(); ++i) {
    const double before = row[i] - mean_[i];
    mean_[i] += before / count_;
    squares_[i] += before * (row[i] - mean_[i]);
  }
}

Tensor Moments::state() const {
  std::vector<double> values{count_};
  values.insert(values.end(), mean_.begin(), mean_.end());
  values.insert(values.end(), squares_.begin(), squares_.end());
  return Tensor::from(values, {static_cast<int64_t>(values.size())});
}

void Moments::load(const Tensor& state) {
  const std::vector<double> values = state.to_vector<double>();
  const size_t size = mean_.size();
  if (values.size() != 1 + 2 * size)
    fail(ErrorKind::shape, "moments", "expected ", 1 + 2 * size, " numbers, but there are ", values.size());
  count_ = values[0];
  mean_.assign(values.begin() + 1, values.begin() + 1 + static_cast<int64_t>(size));
  squares_.assign(values.begin() + 1 + static_cast<int64_t>(size), values.end());
}

}  // namespace gradus::walker
