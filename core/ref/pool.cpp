// Reference pooling over 2-D windows.
#include <algorithm>
#include <vector>

#include "core/kernels.h"
#include "core/pool_window.h"
#include "core/ref/loops.h"
#include "core/ref/widened.h"

namespace gradus::ref {
namespace {

/// body(n, c, oh, ow, rows, columns) for every window.
template <class Body>
void for_each_window(const Shape& x, const Shape& y, const Pool2dSpec& spec, Body body) {
  for (int64_t n = 0; n < y[0]; ++n)
    for (int64_t c = 0; c < y[1]; ++c)
      for (int64_t oh = 0; oh < y[2]; ++oh)
        for (int64_t ow = 0; ow < y[3]; ++ow)
          body(n, c, oh, ow, WindowPart(oh, spec.stride[0], spec.padding[0], spec.kernel[0], x[2]),
               WindowPart(ow, spec.stride[1], spec.padding[1], spec.kernel[1], x[3]));
}

int64_t offset(const Strides& s, int64_t n, int64_t c, int64_t h, int64_t w) {
  return n * s[0] + c * s[1] + h * s[2] + w * s[3];
}

/// Where gradients of overlapping windows add up, in double, before they are rounded once.
struct Sums {
  explicit Sums(const Shape& s)
      : shape(s), strides(contiguous_strides(s)), values(static_cast<size_t>(numel(s)), 0.0) {}
  template <class T>
  void store(Tensor& out) const {
    for_each_element<2>(shape, {strides, out.strides()},
                        [&](const Offsets<2>& at) { pointer<T>(out)[at[1]] = static_cast<T>(values[at[0]]); });
  }
  Shape shape;
  Strides strides;
  std::vector<double> values;
};

double divisor(const Pool2dSpec& spec, const WindowPart& rows, const WindowPart& columns) {
  return static_cast<double>(spec.count_padding ? spec.kernel[0] * spec.kernel[1] : rows.size() * columns.size());
}

}  // namespace

void max_pool2d_forward(const Tensor& x, const Pool2dSpec& spec, Tensor& y, Tensor& index) {
  if (is_bfloat16(x)) return max_pool2d_forward(widened(x), spec, Narrowed(y), index);
  visit_floating("max_pool2d", x.dtype(), [&]<class T>(T) {
    const T* from = pointer<T>(x);
    for_each_window(
        x.shape(), y.shape(), spec,
        [&](int64_t n, int64_t c, int64_t oh, int64_t ow, const WindowPart& rows, const WindowPart& columns) {
          int64_t best_h = rows.begin, best_w = columns.begin;
          T largest = from[offset(x.strides(), n, c, best_h, best_w)];
          for (int64_t h = rows.begin; h < rows.end; ++h)
            for (int64_t w = columns.begin; w < columns.end; ++w) {
              const T value = from[offset(x.strides(), n, c, h, w)];
              if (value > largest || (std::isnan(value) && !std::isnan(largest)))  // the first NaN wins
                largest = value, best_h = h, best_w = w;
            }
          pointer<T>(y)[offset(y.strides(), n, c, oh, ow)] = largest;
          pointer<int64_t>(index)[offset(index.strides(), n, c, oh, ow)] = best_h * x.shape()[3] + best_w;
        });
  });
}

void max_pool2d_scatter(const Tensor& gy, const Tensor& index, Tensor& gx) {
  if (is_bfloat16(gy)) return max_pool2d_scatter(widened(gy), index, Narrowed(gx));
  visit_floating("max_pool2d_scatter", gy.dtype(), [&]<class T>(T) {
    Sums sums(gx.shape());
    Strides plane = sums.strides;
    plane[2] = plane[3] = 0;
    for_each_element<3>(gy.shape(), {gy.strides(), index.strides(), plane}, [&](const Offsets<3>& at) {
      sums.values[at[2] + pointer<int64_t>(index)[at[1]]] += pointer<T>(gy)[at[0]];
    });
    sums.store<T>(gx);
  });
}

void max_pool2d_gather(const Tensor& x, const Tensor& index, Tensor& y) {
  if (is_bfloat16(x)) return max_pool2d_gather(widened(x), index, Narrowed(y));
  visit_floating("max_pool2d_gather", x.dtype(), [&]<class T>(T) {
    const int64_t width = x.shape()[3];
    Strides base = x.strides();
    base[2] = base[3] = 0;
    for_each_element<3>(y.shape(), {y.strides(), index.strides(), base}, [&](const Offsets<3>& at) {
      const int64_t pixel = pointer<int64_t>(index)[at[1]];
      pointer<T>(y)[at[0]] = pointer<T>(x)[at[2] + pixel / width * x.strides()[2] + pixel % width * x.strides()[3]];
    });
  });
}

void avg_pool2d_forward(const Tensor& x, const Pool2dSpec& spec, Tensor& y) {
  if (is_bfloat16(x)) return avg_pool2d_forward(widened(x), spec, Narrowed(y));
  visit_floating("avg_pool2d", x.dtype(), [&]<class T>(T) {
    const T* from = pointer<T>(x);
    for_each_window(
        x.shape(), y.shape(), spec,
        [&](int64_t n, int64_t c, int64_t oh, int64_t ow, const WindowPart& rows, const WindowPart& columns) {
          double sum = 0;
          for (int64_t h = rows.begin; h < rows.end; ++h)
            for (int64_t w = columns.begin; w < columns.end; ++w) sum += from[offset(x.strides(), n, c, h, w)];
          pointer<T>(y)[offset(y.strides(), n, c, oh, ow)] = static_cast<T>(sum / divisor(spec, rows, columns));
        });
  });
}

void avg_pool2d_backward(const Tensor& gy, const Pool2dSpec& spec, Tensor& gx) {
  if (is_bfloat16(gy)) return avg_pool2d_backward(widened(gy), spec, Narrowed(gx));
  visit_floating("avg_pool2d_backward", gy.dtype(), [&]<class T>(T) {
    Sums sums(gx.shape());
    for_each_window(
        gx.shape(), gy.shape(), spec,
        [&](int64_t n, int64_t c, int64_t oh, int64_t ow, const WindowPart& rows, const WindowPart& columns) {
          const double share = pointer<T>(gy)[offset(gy.strides(), n, c, oh, ow)] / divisor(spec, rows, columns);
          for (int64_t h = rows.begin; h < rows.end; ++h)
            for (int64_t w = columns.begin; w < columns.end; ++w)
              sums.values[offset(sums.strides, n, c, h, w)] += share;
        });
    sums.store<T>(gx);
  });
}

}  // namespace gradus::ref
