// Pooling: a thread for each output of a forward pass and for each input of average pooling's gradient; a thread for
// each channel of an image where a gradient goes to places that only the index knows, so that sums are made in order.
#include "core/cuda/element.h"
#include "core/cuda/walk.h"
#include "core/kernels.h"

namespace gradus::kernels {
namespace {

using namespace cuda;

/// Element i of an image in the order of memory that channels-last has.
struct Position {
  GRADUS_ANYWHERE Position(int64_t i, const Places& image) {
    c = i % image.extent[1];
    i /= image.extent[1];
    w = i % image.extent[3];
    i /= image.extent[3];
    h = i % image.extent[2];
    n = i / image.extent[2];
  }
  int64_t n, c, h, w;
};

/// The part [begin, end) of a window that lies inside the input.
struct Range {
  GRADUS_ANYWHERE Range(int64_t position, int64_t stride, int64_t padding, int64_t kernel, int64_t extent)
      : begin(position * stride - padding), end(begin + kernel) {
    if (begin < 0) begin = 0;
    if (end > extent) end = extent;
  }
  GRADUS_ANYWHERE int64_t size() const { return end > begin ? end - begin : 0; }
  int64_t begin, end;
};

/// The windows [begin, end) along one dimension that cover a position.
struct Covering {
  GRADUS_ANYWHERE Covering(int64_t position, int64_t stride, int64_t padding, int64_t kernel, int64_t windows) {
    const int64_t padded = position + padding;
    begin = padded < kernel ? 0 : (padded - kernel) / stride + 1;
    end = padded / stride + 1;
    if (end > windows) end = windows;
  }
  int64_t begin, end;
};

GRADUS_ANYWHERE double divisor(const Pool2dSpec& spec, const Range& rows, const Range& columns) {
  return static_cast<double>(spec.count_padding ? spec.kernel[0] * spec.kernel[1] : rows.size() * columns.size());
}

struct MaxForward {
  Places x, y, index;
  Pool2dSpec spec;
  GRADUS_ANYWHERE void operator()(int64_t i) const {
    const Position p(i, y);
    const Range rows(p.h, spec.stride[0], spec.padding[0], spec.kernel[0], x.extent[2]);
    const Range columns(p.w, spec.stride[1], spec.padding[1], spec.kernel[1], x.extent[3]);
    int64_t best_h = rows.begin, best_w = columns.begin;
    double largest = x.at(p.n, p.c, best_h, best_w);
    for (int64_t h = rows.begin; h < rows.end; ++h)
      for (int64_t w = columns.begin; w < columns.end; ++w) {
        const double value = x.at(p.n, p.c, h, w);
        if (value > largest || (value != value && largest == largest))  // the first NaN wins
          largest = value, best_h = h, best_w = w;
      }
    store<double>(y.data, y.type, y.place(p.n, p.c, p.h, p.w), largest);
    static_cast<int64_t*>(index.data)[index.place(p.n, p.c, p.h, p.w)] = best_h * x.extent[3] + best_w;
  }
};

/// gx is zero; a thread adds a channel's gradients in the order of outputs.
template <class W>
struct MaxScatter {
  Places gy, index, gx;
  GRADUS_ANYWHERE void operator()(int64_t plane) const {
    const int64_t n = plane / gx.extent[1], c = plane % gx.extent[1], width = gx.extent[3];
    for (int64_t h = 0; h < gy.extent[2]; ++h)
      for (int64_t w = 0; w < gy.extent[3]; ++w) {
        const int64_t pixel = static_cast<const int64_t*>(index.data)[index.place(n, c, h, w)];
        const int64_t to = gx.place(n, c, pixel / width, pixel % width);
        store<W>(gx.data, gx.type, to, load<W>(gx.data, gx.type, to) + load<W>(gy.data, gy.type, gy.place(n, c, h, w)));
      }
  }
};

struct MaxGather {
  Places x, index, y;
  GRADUS_ANYWHERE void operator()(int64_t i) const {
    const Position p(i, y);
    const int64_t pixel = static_cast<const int64_t*>(index.data)[index.place(p.n, p.c, p.h, p.w)];
    const int64_t from = x.place(p.n, p.c, pixel / x.extent[3], pixel % x.extent[3]);
    store<double>(y.data, y.type, y.place(p.n, p.c, p.h, p.w), load<double>(x.data, x.type, from));
  }
};

struct AverageForward {
  Places x, y;
  Pool2dSpec spec;
  GRADUS_ANYWHERE void operator()(int64_t i) const {
    const Position p(i, y);
    const Range rows(p.h, spec.stride[0], spec.padding[0], spec.kernel[0], x.extent[2]);
    const Range columns(p.w, spec.stride[1], spec.padding[1], spec.kernel[1], x.extent[3]);
    double sum = 0;
    for (int64_t h = rows.begin; h < rows.end; ++h)
      for (int64_t w = columns.begin; w < columns.end; ++w) sum += x.at(p.n, p.c, h, w);
    store<double>(y.data, y.type, y.place(p.n, p.c, p.h, p.w), sum / divisor(spec, rows, columns));
  }
};

struct AverageBackward {
  Places gy, gx;
  Pool2dSpec spec;
  GRADUS_ANYWHERE void operator()(int64_t i) const {
    const Position p(i, gx);
    const Covering down(p.h, spec.stride[0], spec.padding[0], spec.kernel[0], gy.extent[2]);
    const Covering across(p.w, spec.stride[1], spec.padding[1], spec.kernel[1], gy.extent[3]);
    double sum = 0;
    for (int64_t h = down.begin; h < down.end; ++h)
      for (int64_t w = across.begin; w < across.end; ++w) {
        const Range rows(h, spec.stride[0], spec.padding[0], spec.kernel[0], gx.extent[2]);
        const Range columns(w, spec.stride[1], spec.padding[1], spec.kernel[1], gx.extent[3]);
        sum += gy.at(p.n, p.c, h, w) / divisor(spec, rows, columns);
      }
    store<double>(gx.data, gx.type, gx.place(p.n, p.c, p.h, p.w), sum);
  }
};

}  // namespace

void max_pool2d_forward(const Tensor& x, const Pool2dSpec& spec, Tensor& y, Tensor& index) {
  for_each(y.numel(), MaxForward{Places(x), Places(y), Places(index), spec});
}

void max_pool2d_scatter(const Tensor& gy, const Tensor& index, Tensor& gx) {
  if (gx.dtype() == DType::bfloat16) {  // summed in float32, rounded once
    Tensor sums = Tensor::empty_like(gx, DType::float32);
    max_pool2d_scatter(gy, index, sums);
    return kernels::copy(sums, gx);
  }
  kernels::fill(0, gx);
  if (gy.numel() == 0) return;
  const auto run = [&]<class W>(W) {
    for_each(gx.shape()[0] * gx.shape()[1], MaxScatter<W>{Places(gy), Places(index), Places(gx)});
  };
  gx.dtype() == DType::float64 ? run(double()) : run(float());
}

void max_pool2d_gather(const Tensor& x, const Tensor& index, Tensor& y) {
  for_each(y.numel(), MaxGather{Places(x), Places(index), Places(y)});
}

void avg_pool2d_forward(const Tensor& x, const Pool2dSpec& spec, Tensor& y) {
  for_each(y.numel(), AverageForward{Places(x), Places(y), spec});
}

void avg_pool2d_backward(const Tensor& gy, const Pool2dSpec& spec, Tensor& gx) {
  for_each(gx.numel(), AverageBackward{Places(gy), Places(gx), spec});
}

}  // namespace gradus::kernels
