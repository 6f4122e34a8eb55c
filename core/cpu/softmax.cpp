// Softmax and log-softmax in float32, along rows that are contiguous in memory; other dimensions are first moved there.
#include <algorithm>

#include "core/cpu/layout.h"
#include "core/cpu/vector/kernels.h"
#include "core/kernels.h"
#include "core/parallel.h"

namespace gradus::kernels {

namespace {

constexpr int64_t grain_elements = 8192;

/// body(position of the first element, number of rows) on several threads.
template <class Body>
void for_each_rows(const Tensor& x, Body body) {
  const int64_t columns = x.shape().back(), rows = x.numel() / columns;
  parallel_for(rows, std::max<int64_t>(1, grain_elements / columns),
               [&](int64_t begin, int64_t end) { body(begin * columns, end - begin); });
}

}  // namespace

void softmax(const Tensor& x, int dim, bool log, Tensor& y) {
  if (y.dtype() != DType::float32) return ref::softmax(x, dim, log, y);
  if (y.numel() == 0) return;
  const Tensor input = cpu::as_layout(cpu::with_last(x, dim), Layout::contiguous);
  Tensor output = cpu::with_last(y, dim);
  cpu::write_as_layout(output, Layout::contiguous, [&](Tensor& out) {
    const auto* from = static_cast<const float*>(input.raw());
    auto* to = static_cast<float*>(out.raw());
    for_each_rows(out, [&](int64_t at, int64_t rows) {
      cpu::vector::kernels().softmax_rows(from + at, rows, out.shape().back(), to + at, log);
    });
  });
}

void softmax_backward(const Tensor& gy, const Tensor& y, int dim, bool log, Tensor& gx) {
  if (y.dtype() != DType::float32) return ref::softmax_backward(gy, y, dim, log, gx);
  if (y.numel() == 0) return;
  const Tensor gradient = cpu::as_layout(cpu::with_last(gy, dim), Layout::contiguous);
  const Tensor output = cpu::as_layout(cpu::with_last(y, dim), Layout::contiguous);
  Tensor input_gradient = cpu::with_last(gx, dim);
  cpu::write_as_layout(input_gradient, Layout::contiguous, [&](Tensor& out) {
    const auto *g = static_cast<const float*>(gradient.raw()), *o = static_cast<const float*>(output.raw());
    auto* to = static_cast<float*>(out.raw());
    for_each_rows(out, [&](int64_t at, int64_t rows) {
      cpu::vector::kernels().softmax_rows_backward(g + at, o + at, rows, out.shape().back(), to + at, log);
    });
  });
}

}  // namespace gradus::kernels
