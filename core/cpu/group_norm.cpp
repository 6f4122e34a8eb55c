// Group norm in float32. A thread takes one image at a time, rows of channels: sums of each channel, which its group
// adds up, and then one pass in which every channel has its own coefficients, as in batch norm.
#include <algorithm>
#include <cmath>
#include <vector>

#include "core/cpu/layout.h"
#include "core/cpu/moments.h"
#include "core/cpu/vector/kernels.h"
#include "core/cpu/vectors.h"
#include "core/kernels.h"
#include "core/parallel.h"

namespace gradus::kernels {

namespace {

using cpu::elements_or;
using cpu::floats;
using cpu::mutable_floats;

bool are_images(const Tensor& x) { return x.dtype() == DType::float32 && x.numel() > 0; }

/// Images as rows of channels, and how their channels make groups.
struct Images {
  Images(const Tensor& x, const Tensor& statistics)
      : count(x.shape()[0]),
        channels(x.shape()[1]),
        groups(statistics.shape()[1]),
        group_channels(channels / groups),
        pixels(x.numel() / (count * channels)) {}
  int64_t size() const { return pixels * channels; }
  auto group_size() const { return static_cast<double>(pixels * group_channels); }
  /// body(image) on several threads.
  template <class Body>
  void for_each(const Body& body) const {
    constexpr int64_t enough = 32768;
    parallel_for(count, std::max<int64_t>(1, enough / size()), [&](int64_t begin, int64_t end) {
      for (int64_t n = begin; n < end; ++n) body(n);
    });
  }
  int64_t count, channels, groups, group_channels, pixels;
};

/// Per channel of one image: mean, and squares around it.
class ChannelMoments {
 public:
  ChannelMoments(const float* x, const Images& in)
      : mean(static_cast<size_t>(in.channels)), squares(mean), piece_sums_(mean), piece_squares_(mean) {
    const int64_t piece = std::max<int64_t>(1, piece_elements / in.channels);
    for (int64_t row = 0; row < in.pixels; row += piece)
      add(x + row * in.channels, row, std::min(piece, in.pixels - row), in.channels);
  }

  std::vector<double> mean, squares;

 private:
  /// A piece takes two passes, the second from the cache.
  static constexpr int64_t piece_elements = 16384;

  void add(const float* x, int64_t before, int64_t rows, int64_t channels) {
    std::fill(piece_sums_.begin(), piece_sums_.end(), 0.0);
    std::fill(piece_squares_.begin(), piece_squares_.end(), 0.0);
    cpu::column_moments(x, rows, channels, piece_sums_.data(), piece_squares_.data());
    const auto here = static_cast<double>(rows), all = static_cast<double>(before + rows);
    for (size_t c = 0; c < mean.size(); ++c) {
      const double apart = piece_sums_[c] / here - mean[c];
      squares[c] += piece_squares_[c] + apart * apart * here * static_cast<double>(before) / all;
      mean[c] += apart * here / all;
    }
  }

  std::vector<double> piece_sums_, piece_squares_;
};

}  // namespace

void group_norm_forward(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps, Tensor& y, Tensor& mean,
                        Tensor& rstd) {
  if (!are_images(x)) return ref::group_norm_forward(x, weight, bias, eps, y, mean, rstd);
  const Tensor input = cpu::as_channel_rows(x);
  const Images in(input, mean);
  const auto gain = elements_or(weight, in.channels, 1), shift = elements_or(bias, in.channels, 0);
  cpu::write_as_channel_rows(y, [&](Tensor& out) {
    in.for_each([&](int64_t n) {
      const float* from = floats(input) + n * in.size();
      const ChannelMoments moments(from, in);
      std::vector<float> center(gain.size()), scale(gain.size());
      for (int64_t g = 0; g < in.groups; ++g) {
        const int64_t first = g * in.group_channels, end = first + in.group_channels;
        double middle = 0, squares = 0;
        for (int64_t c = first; c < end; ++c) middle += moments.mean[static_cast<size_t>(c)];
        middle /= static_cast<double>(in.group_channels);
        for (int64_t c = first; c < end; ++c) {
          const double apart = moments.mean[static_cast<size_t>(c)] - middle;
          squares += moments.squares[static_cast<size_t>(c)] + static_cast<double>(in.pixels) * apart * apart;
        }
        const auto group_mean = static_cast<float>(middle);
        const auto group_rstd = static_cast<float>(1 / std::sqrt(squares / in.group_size() + eps));
        mutable_floats(mean)[n * in.groups + g] = group_mean;
        mutable_floats(rstd)[n * in.groups + g] = group_rstd;
        for (int64_t c = first; c < end; ++c) {
          center[static_cast<size_t>(c)] = group_mean;
          scale[static_cast<size_t>(c)] = group_rstd * gain[static_cast<size_t>(c)];
        }
      }
      cpu::vector::kernels().normalize_columns(from, center.data(), scale.data(), shift.data(), in.pixels, in.channels,
                                               mutable_floats(out) + n * in.size());
    });
  });
}

void group_norm_backward(const Tensor& gy, const Tensor& x, const Tensor& weight, const Tensor& mean,
                         const Tensor& rstd, Tensor& gx, Tensor& gweight, Tensor& gbias) {
  if (!are_images(x)) return ref::group_norm_backward(gy, x, weight, mean, rstd, gx, gweight, gbias);
  const Tensor input = cpu::as_channel_rows(x);
  const Tensor gradient = cpu::as_channel_rows(gy);
  const Images in(input, mean);
  const auto& table = cpu::vector::kernels();
  const auto gain = elements_or(weight, in.channels, 1);
  // Per image and channel, of gy and of gy times the normalized x.
  std::vector<double> sums(static_cast<size_t>(in.count * in.channels), 0.0), products(sums);
  cpu::write_as_channel_rows(gx, [&](Tensor& out) {
    in.for_each([&](int64_t n) {
      const float *grad = floats(gradient) + n * in.size(), *from = floats(input) + n * in.size();
      double *sum = sums.data() + n * in.channels, *product = products.data() + n * in.channels;
      std::vector<float> center(gain.size()), scale(gain.size()), share(gain.size()), slope(gain.size());
      const auto group = [&](size_t c) { return n * in.groups + static_cast<int64_t>(c) / in.group_channels; };
      for (size_t c = 0; c < gain.size(); ++c) {
        center[c] = floats(mean)[group(c)];
        scale[c] = floats(rstd)[group(c)];
      }
      table.reduce_columns[static_cast<int>(ReduceOp::sum)](grad, in.pixels, in.channels, in.channels, sum);
      table.centered_products(grad, from, center.data(), in.pixels, in.channels, product);
      for (int64_t first = 0; first < in.channels; first += in.group_channels) {
        double of_group = 0, normalized = 0;  // of weight gy, and of that times the normalized x
        const auto begin = static_cast<size_t>(first), end = static_cast<size_t>(first + in.group_channels);
        for (size_t c = begin; c < end; ++c) {
          product[c] *= static_cast<double>(scale[c]);
          of_group += static_cast<double>(gain[c]) * sum[c];
          normalized += static_cast<double>(gain[c]) * product[c];
        }
        for (size_t c = begin; c < end; ++c) {
          share[c] = static_cast<float>(of_group / in.group_size());
          slope[c] = static_cast<float>(normalized / in.group_size() * static_cast<double>(scale[c]));
        }
      }
      table.group_norm_gradient(grad, from, {gain.data(), center.data(), scale.data(), share.data(), slope.data()},
                                in.pixels, in.channels, mutable_floats(out) + n * in.size());
    });
  });
  cpu::store(cpu::column_sums(products.data(), in.count, in.channels), gweight);
  cpu::store(cpu::column_sums(sums.data(), in.count, in.channels), gbias);
}

}  // namespace gradus::kernels
