// Cross-entropy on several threads: of float32 along contiguous rows by vector loops, of float64 by the reference's.
#include <algorithm>
#include <cmath>

#include "core/cpu/layout.h"
#include "core/cpu/parts.h"
#include "core/cpu/vector/kernels.h"
#include "core/kernels.h"
#include "core/parallel.h"

namespace gradus::kernels {

namespace {

/// body(row) for the rows of x [N, K], each worth an exponential for every element.
template <class Body>
void for_each_row(const Tensor& x, Body body) {
  constexpr int64_t grain_elements = 4096;
  parallel_for(x.size(0), std::max<int64_t>(1, grain_elements / x.size(1)), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) body(row);
  });
}

/// The same for the reference: body(part) for parts of the rows.
template <class Body>
void for_each_part_of_rows(const Tensor& x, Body body) {
  constexpr int64_t grain_elements = 512;
  parallel_for(x.size(0), std::max<int64_t>(1, grain_elements / std::max<int64_t>(1, x.size(1))),
               [&](int64_t begin, int64_t end) {
                 body(cpu::Part{0, begin, end - begin});
               });
}

bool is_ours(const Tensor& x) { return x.dtype() == DType::float32 && x.numel() > 0; }

/// Element i of a vector.
template <class T>
T& element(const Tensor& x, int64_t i) {
  return static_cast<T*>(x.raw())[i * x.strides()[0]];
}

}  // namespace

void cross_entropy(const Tensor& x, const Tensor& labels, double smoothing, Tensor& losses, Tensor& normalizers) {
  if (!is_ours(x)) {
    return for_each_part_of_rows(x, [&](const cpu::Part& part) {
      Tensor to = part.of(losses), sums = part.of(normalizers);
      ref::cross_entropy(part.of(x), part.of(labels), smoothing, to, sums);
    });
  }
  const Tensor rows = cpu::as_layout(x, Layout::contiguous);
  const int64_t classes = x.size(1);
  const auto& table = cpu::vector::kernels();
  for_each_row(rows, [&](int64_t row) {
    const float* logits = static_cast<const float*>(rows.raw()) + row * classes;
    const double largest = table.reduce_row[static_cast<int>(ReduceOp::max)](logits, classes);
    const cpu::vector::CrossEntropySums sums = table.cross_entropy_sums(logits, largest, classes);
    const double log_sum = std::log(sums.exps);
    const double at_label = static_cast<double>(logits[element<int64_t>(labels, row)]) - largest;
    double loss = log_sum - (1 - smoothing) * at_label;
    if (smoothing > 0) loss -= smoothing * sums.below / static_cast<double>(classes);
    element<float>(losses, row) = static_cast<float>(loss);
    auto* normalizer = static_cast<double*>(normalizers.raw()) + 2 * row;
    normalizer[0] = largest;
    normalizer[1] = log_sum;
  });
}

void cross_entropy_backward(const Tensor& gy, const Tensor& x, const Tensor& labels, const Tensor& normalizers,
                            double smoothing, double share, Tensor& gx) {
  if (!is_ours(x)) {
    return for_each_part_of_rows(x, [&](const cpu::Part& part) {
      Tensor to = part.of(gx);
      ref::cross_entropy_backward(part.of(gy), part.of(x), part.of(labels), part.of(normalizers), smoothing, share, to);
    });
  }
  const Tensor rows = cpu::as_layout(x, Layout::contiguous);
  const int64_t classes = x.size(1);
  const double elsewhere = smoothing / static_cast<double>(classes);  // the target but at the label
  cpu::write_as_layout(gx, Layout::contiguous, [&](Tensor& out) {
    for_each_row(rows, [&](int64_t row) {
      const float* logits = static_cast<const float*>(rows.raw()) + row * classes;
      float* to = static_cast<float*>(out.raw()) + row * classes;
      const double* normalizer = static_cast<const double*>(normalizers.raw()) + 2 * row;
      const cpu::vector::CrossEntropyRow at = {.largest = normalizer[0],
                                               .log_sum = normalizer[1],
                                               .factor = share * static_cast<double>(element<float>(gy, row)),
                                               .target = elsewhere};
      cpu::vector::kernels().cross_entropy_gradient(logits, at, to, classes);
      const int64_t label = element<int64_t>(labels, row);
      const double p = std::exp((static_cast<double>(logits[label]) - at.largest) - at.log_sum);
      to[label] = static_cast<float>(at.factor * (p - (elsewhere + (1 - smoothing))));
    });
  });
}

}  // namespace gradus::kernels
