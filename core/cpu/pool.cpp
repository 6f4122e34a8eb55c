// Pooling of float32 and bfloat16: channels-last, so that each step of a window is a loop over channels.
#include <algorithm>
#include <limits>
#include <vector>

#include "core/cpu/layout.h"
#include "core/cpu/stretch.h"
#include "core/cpu/vector/kernels.h"
#include "core/kernels.h"
#include "core/parallel.h"
#include "core/pool_window.h"

namespace gradus::kernels {

namespace {

using cpu::as_layout;
using cpu::write_as_layout;

/// body(output pixel, rows, columns) for every window of one image.
template <class Body>
void for_each_window(const Shape& x, const Shape& y, const Pool2dSpec& spec, Body body) {
  for (int64_t h = 0; h < y[2]; ++h) {
    const WindowPart rows(h, spec.stride[0], spec.padding[0], spec.kernel[0], x[2]);
    for (int64_t w = 0; w < y[3]; ++w)
      body(h * y[3] + w, rows, WindowPart(w, spec.stride[1], spec.padding[1], spec.kernel[1], x[3]));
  }
}

template <class Body>
void for_each_image(const Shape& shape, Body body) {
  const int64_t image = shape[1] * shape[2] * shape[3];
  parallel_for(shape[0], std::max<int64_t>(1, 32768 / std::max<int64_t>(image, 1)), [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) body(n);
  });
}

float share_of(const Pool2dSpec& spec, const WindowPart& rows, const WindowPart& columns) {
  const int64_t count = spec.count_padding ? spec.kernel[0] * spec.kernel[1] : rows.size() * columns.size();
  return 1.0f / static_cast<float>(count);
}

int64_t image_size(const Tensor& x) { return x.size(1) * x.size(2) * x.size(3); }
int64_t* image_of(const Tensor& index, int64_t n) { return index.data<int64_t>() + n * image_size(index); }
struct ReadImage : cpu::ReadFloats {
  ReadImage(const Tensor& x, int64_t n) : ReadFloats(x, n * image_size(x), image_size(x)) {}
};
struct WriteImage : cpu::WriteFloats {
  WriteImage(const Tensor& x, int64_t n) : WriteFloats(x, n * image_size(x), image_size(x)) {}
};

/// Images whose pixels are counted by an int32, and not empty.
bool is_ours(const Tensor& x, const Tensor& y) {
  return cpu::in_floats(x) && x.numel() > 0 && y.numel() > 0 &&
         x.size(2) * x.size(3) <= std::numeric_limits<int32_t>::max();
}

}  // namespace

void max_pool2d_forward(const Tensor& x, const Pool2dSpec& spec, Tensor& y, Tensor& index) {
  if (!is_ours(x, y)) return ref::max_pool2d_forward(x, spec, y, index);
  const Tensor input = as_layout(x, Layout::channels_last);
  const int64_t channels = x.size(1), width = x.size(3);
  const auto raise = cpu::vector::kernels().raise_maximum;
  write_as_layout(y, Layout::channels_last, [&](Tensor& values) {
    write_as_layout(index, Layout::channels_last, [&](Tensor& positions) {
      for_each_image(input.shape(), [&](int64_t n) {
        const ReadImage from(input, n);
        const WriteImage maxima(values, n);
        std::vector<int32_t> winner(static_cast<size_t>(channels));
        for_each_window(x.shape(), y.shape(), spec,
                        [&](int64_t pixel, const WindowPart& rows, const WindowPart& columns) {
                          float* largest = maxima + pixel * channels;
                          const int64_t first = rows.begin * width + columns.begin;
                          std::copy_n(from + first * channels, channels, largest);
                          std::fill(winner.begin(), winner.end(), static_cast<int32_t>(first));
                          for (int64_t h = rows.begin; h < rows.end; ++h)
                            for (int64_t at = h * width + columns.begin; at < h * width + columns.end; ++at)
                              raise(from + at * channels, static_cast<int32_t>(at), largest, winner.data(), channels);
                          std::copy(winner.begin(), winner.end(), image_of(positions, n) + pixel * channels);
                        });
      });
    });
  });
}

void max_pool2d_scatter(const Tensor& gy, const Tensor& index, Tensor& gx) {
  if (!is_ours(gx, gy)) return ref::max_pool2d_scatter(gy, index, gx);
  const Tensor gradient = as_layout(gy, Layout::channels_last), positions = as_layout(index, Layout::channels_last);
  const int64_t channels = gx.size(1), pixels = gy.size(2) * gy.size(3), image = channels * gx.size(2) * gx.size(3);
  write_as_layout(gx, Layout::channels_last, [&](Tensor& out) {
    for_each_image(out.shape(), [&](int64_t n) {
      const ReadImage image_gradient(gradient, n);
      const WriteImage to(out, n);
      const float* from = image_gradient;
      const int64_t* at = image_of(positions, n);
      std::fill_n(+to, image, 0.0f);
      for (int64_t p = 0; p < pixels; ++p, from += channels, at += channels)
        for (int64_t c = 0; c < channels; ++c) to[at[c] * channels + c] += from[c];
    });
  });
}

void max_pool2d_gather(const Tensor& x, const Tensor& index, Tensor& y) {
  if (!is_ours(x, y)) return ref::max_pool2d_gather(x, index, y);
  const Tensor input = as_layout(x, Layout::channels_last), positions = as_layout(index, Layout::channels_last);
  const int64_t channels = x.size(1), pixels = y.size(2) * y.size(3);
  write_as_layout(y, Layout::channels_last, [&](Tensor& out) {
    for_each_image(out.shape(), [&](int64_t n) {
      const ReadImage from(input, n);
      const WriteImage image(out, n);
      const int64_t* at = image_of(positions, n);
      float* to = image;
      for (int64_t p = 0; p < pixels; ++p, to += channels, at += channels)
        for (int64_t c = 0; c < channels; ++c) to[c] = from[at[c] * channels + c];
    });
  });
}

void avg_pool2d_forward(const Tensor& x, const Pool2dSpec& spec, Tensor& y) {
  if (!is_ours(x, y)) return ref::avg_pool2d_forward(x, spec, y);
  const Tensor input = as_layout(x, Layout::channels_last);
  const int64_t channels = x.size(1), width = x.size(3);
  const auto& table = cpu::vector::kernels();
  write_as_layout(y, Layout::channels_last, [&](Tensor& out) {
    for_each_image(input.shape(), [&](int64_t n) {
      const ReadImage from(input, n);
      const WriteImage image(out, n);
      for_each_window(x.shape(), y.shape(), spec,
                      [&](int64_t pixel, const WindowPart& rows, const WindowPart& columns) {
                        float* to = image + pixel * channels;
                        std::fill_n(to, channels, 0.0f);
                        for (int64_t h = rows.begin; h < rows.end; ++h)
                          for (int64_t at = h * width + columns.begin; at < h * width + columns.end; ++at)
                            table.axpby(1, from + at * channels, 1, to, channels);
                        table.scale(share_of(spec, rows, columns), to, to, channels);
                      });
    });
  });
}

void avg_pool2d_backward(const Tensor& gy, const Pool2dSpec& spec, Tensor& gx) {
  if (!is_ours(gx, gy)) return ref::avg_pool2d_backward(gy, spec, gx);
  const Tensor gradient = as_layout(gy, Layout::channels_last);
  const int64_t channels = gx.size(1), width = gx.size(3), image = channels * gx.size(2) * width;
  const auto& table = cpu::vector::kernels();
  write_as_layout(gx, Layout::channels_last, [&](Tensor& out) {
    for_each_image(out.shape(), [&](int64_t n) {
      const ReadImage from(gradient, n);
      const WriteImage to(out, n);
      std::fill_n(+to, image, 0.0f);
      for_each_window(gx.shape(), gy.shape(), spec,
                      [&](int64_t pixel, const WindowPart& rows, const WindowPart& columns) {
                        const float share = share_of(spec, rows, columns);
                        for (int64_t h = rows.begin; h < rows.end; ++h)
                          for (int64_t at = h * width + columns.begin; at < h * width + columns.end; ++at)
                            table.axpby(share, from + pixel * channels, 1, to + at * channels, channels);
                      });
    });
  });
}

}  // namespace gradus::kernels
