#include "core/cpu/plane_norm.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/cpu/layout.h"
#include "core/cpu/moments.h"
#include "core/cpu/stretch.h"
#include "core/cpu/vector/kernels.h"
#include "core/cpu/vectors.h"
#include "core/parallel.h"

namespace gradus::cpu {

namespace {

struct Planes {
  explicit Planes(const Tensor& x)
      : images(x.shape()[0]), channels(x.shape()[1]), pixels(x.numel() / (images * channels)) {}
  int64_t count() const { return images * channels; }
  /// Of a channel.
  auto elements() const { return static_cast<double>(images * pixels); }
  /// body(plane, its channel) on several threads.
  template <class Body>
  void for_each(Body body) const {
    constexpr int64_t enough = 16384;
    parallel_for(count(), std::max<int64_t>(1, enough / pixels), [&](int64_t begin, int64_t end) {
      for (int64_t plane = begin; plane < end; ++plane) body(plane, static_cast<size_t>(plane % channels));
    });
  }
  int64_t images, channels, pixels;
};

double sum_of_plane(const float* x, int64_t pixels) {
  return vector::kernels().reduce_row[static_cast<int>(ReduceOp::sum)](x, pixels);
}

}  // namespace

bool has_planes(const Tensor& x) {
  constexpr int64_t few = 32;
  return x.rank() > 2 && x.is_contiguous() && Planes(x).pixels >= few;
}

void batch_norm_train_planes(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps, Tensor& y,
                             Tensor& mean, Tensor& rstd) {
  const Planes in(x);
  const auto pixels = static_cast<double>(in.pixels);
  // Of each plane: its sum, and the squares around its own mean.
  std::vector<double> sums(static_cast<size_t>(in.count())), squares(sums);
  in.for_each([&](int64_t plane, size_t) {
    const ReadFloats from(x, plane * in.pixels, in.pixels);
    const auto center = static_cast<float>(sum_of_plane(from, in.pixels) / pixels);
    const vector::CenteredMoments rest = vector::kernels().centered_row_moments(from, center, in.pixels);
    sums[static_cast<size_t>(plane)] = static_cast<double>(center) * pixels + rest.sum;
    squares[static_cast<size_t>(plane)] = rest.squares - rest.sum * rest.sum / pixels;
  });
  std::vector<double> means = column_sums(sums.data(), in.images, in.channels);
  std::vector<double> scales = column_sums(squares.data(), in.images, in.channels);
  for (double& m : means) m /= in.elements();
  for (size_t plane = 0; plane < sums.size(); ++plane) {  // and the squares between the planes' means
    const size_t channel = plane % means.size();
    const double apart = sums[plane] / pixels - means[channel];
    scales[channel] += pixels * apart * apart;
  }
  for (double& s : scales) s = 1 / std::sqrt(s / in.elements() + eps);
  store(means, mean);
  store(scales, rstd);
  batch_norm_apply_planes(x, weight, bias, mean, rstd, y);
}

void batch_norm_apply_planes(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& mean,
                             const Tensor& rstd, Tensor& y) {
  const Planes in(x);
  const auto center = elements_or(mean, in.channels, 0), shift = elements_or(bias, in.channels, 0);
  const auto gain = elements_or(weight, in.channels, 1), scale = elements_or(rstd, in.channels, 1);
  write_as_layout(y, Layout::contiguous, [&](Tensor& out) {
    in.for_each([&](int64_t plane, size_t c) {
      const ReadFloats from(x, plane * in.pixels, in.pixels);
      const WriteFloats to(out, plane * in.pixels, in.pixels);
      vector::kernels().scale_row(from, center[c], scale[c] * gain[c], shift[c], in.pixels, to);
    });
  });
}

void batch_norm_backward_planes(const Tensor& gy, const Tensor& x, const Tensor& weight, const Tensor& mean,
                                const Tensor& rstd, Tensor& gx, Tensor& gweight, Tensor& gbias) {
  const Planes in(x);
  const Tensor gradient = as_layout(gy, Layout::contiguous);
  const auto center = elements_or(mean, in.channels, 0), scale = elements_or(rstd, in.channels, 1);
  const auto weights = elements_or(weight, in.channels, 1);
  std::vector<double> sums(static_cast<size_t>(in.count())), products(sums);
  in.for_each([&](int64_t plane, size_t c) {
    const int64_t at = plane * in.pixels;
    const ReadFloats g(gradient, at, in.pixels), from(x, at, in.pixels);
    sums[static_cast<size_t>(plane)] = sum_of_plane(g, in.pixels);
    products[static_cast<size_t>(plane)] = vector::kernels().centered_row_product(g, from, center[c], in.pixels);
  });
  const std::vector<double> sum = column_sums(sums.data(), in.images, in.channels);
  std::vector<double> product = column_sums(products.data(), in.images, in.channels);  // of gy and the normalized x
  std::vector<vector::BatchNormChannel> channels(sum.size());
  for (size_t c = 0; c < sum.size(); ++c) {
    product[c] *= static_cast<double>(scale[c]);
    const double slope = product[c] / in.elements() * static_cast<double>(scale[c]);
    channels[c] = {center[c], weights[c] * scale[c], static_cast<float>(sum[c] / in.elements()),
                   static_cast<float>(slope)};
  }
  write_as_layout(gx, Layout::contiguous, [&](Tensor& out) {
    in.for_each([&](int64_t plane, size_t c) {
      const int64_t at = plane * in.pixels;
      const ReadFloats g(gradient, at, in.pixels), from(x, at, in.pixels);
      const WriteFloats to(out, at, in.pixels);
      vector::kernels().batch_norm_gradient_row(g, from, channels[c], in.pixels, to);
    });
  });
  store(sum, gbias);
  store(product, gweight);
}

}  // namespace gradus::cpu
