// Batch norm, also of bfloat16, and layer norm in float32. Batch norm sees rows of channels, or planes where these are
// what memory holds.
#include <algorithm>
#include <cmath>
#include <vector>

#include "core/cpu/layout.h"
#include "core/cpu/moments.h"
#include "core/cpu/plane_norm.h"
#include "core/cpu/stretch.h"
#include "core/cpu/vector/kernels.h"
#include "core/cpu/vectors.h"
#include "core/kernels.h"
#include "core/parallel.h"

namespace gradus::kernels {

namespace {

using cpu::as_layout;
using cpu::elements_or;
using cpu::floats;
using cpu::mutable_floats;
using cpu::ReadFloats;
using cpu::store;
using cpu::write_as_layout;
using cpu::WriteFloats;

/// Elements of a piece of rows: its statistics take two passes, the second from the cache.
constexpr int64_t piece_elements = 32768;

bool is_ours(const Tensor& x) { return cpu::in_floats(x) && x.numel() > 0; }

/// Cuts rows into pieces by their shape alone, so that sums over them do not depend on the number of threads.
struct Pieces {
  Pieces(int64_t row_count, int64_t column_count, int64_t least_rows = 1)
      : rows(row_count),
        columns(column_count),
        piece(std::max(piece_elements / column_count, least_rows)),
        count((rows + piece - 1) / piece) {}
  /// For pieces that have a row of sums each: long rows come several to a piece, or sums would be most of the work.
  static Pieces with_sums(int64_t rows, int64_t columns, int64_t least_rows = 1) {
    return {rows, columns, std::max(least_rows, std::min<int64_t>(16, (rows + 15) / 16))};
  }
  /// body(piece, first row, number of rows) on several threads.
  template <class Body>
  void for_each(Body body) const {
    parallel_for(count, std::max<int64_t>(1, piece_elements / (piece * columns)), [&](int64_t begin, int64_t end) {
      for (int64_t p = begin; p < end; ++p) body(p, p * piece, std::min(piece, rows - p * piece));
    });
  }
  int64_t rows, columns, piece, count;
};

/// One row of doubles for each piece.
class Partial {
 public:
  explicit Partial(const Pieces& pieces)
      : count_(pieces.count),
        columns_(pieces.columns),
        memory_(Storage::allocate(static_cast<size_t>(count_ * columns_) * sizeof(double))) {}
  /// Uninitialized.
  double* row(int64_t piece) const { return static_cast<double*>(memory_.data()) + piece * columns_; }
  double* zeros(int64_t piece) const {
    std::fill_n(row(piece), columns_, 0.0);
    return row(piece);
  }
  std::vector<double> sum() const { return cpu::column_sums(row(0), count_, columns_); }

 private:
  int64_t count_, columns_;
  Storage memory_;
};

}  // namespace

void batch_norm_train(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps, Tensor& y, Tensor& mean,
                      Tensor& rstd) {
  if (!is_ours(x)) return ref::batch_norm_train(x, weight, bias, eps, y, mean, rstd);
  if (cpu::has_planes(x)) return cpu::batch_norm_train_planes(x, weight, bias, eps, y, mean, rstd);
  const Tensor input = cpu::as_channel_rows(x);
  const int64_t channels = x.size(1);
  const Pieces pieces = Pieces::with_sums(x.numel() / channels, channels);
  const Partial sums(pieces), squares(pieces);  // of each piece: its sum, and the squares around its own mean
  pieces.for_each([&](int64_t piece, int64_t row, int64_t rows) {
    const ReadFloats from(input, row * channels, rows * channels);
    cpu::column_moments(from, rows, channels, sums.zeros(piece), squares.zeros(piece));
  });
  const auto count = static_cast<double>(pieces.rows);
  std::vector<double> means = sums.sum(), scales = squares.sum();
  for (double& m : means) m /= count;
  cpu::for_each_columns(pieces.count, channels, [&](int64_t begin, int64_t end) {
    for (int64_t piece = 0; piece < pieces.count; ++piece) {  // and the squares between the pieces' means
      const auto rows = static_cast<double>(std::min(pieces.piece, pieces.rows - piece * pieces.piece));
      const double* sum = sums.row(piece);
      for (int64_t c = begin; c < end; ++c) {
        const auto column = static_cast<size_t>(c);
        const double apart = sum[c] / rows - means[column];
        scales[column] += rows * apart * apart;
      }
    }
  });
  for (double& s : scales) s = 1 / std::sqrt(s / count + eps);
  store(means, mean);
  store(scales, rstd);
  batch_norm_apply(input, weight, bias, mean, rstd, y);
}

void batch_norm_apply(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& mean, const Tensor& rstd,
                      Tensor& y) {
  if (!is_ours(x)) return ref::batch_norm_apply(x, weight, bias, mean, rstd, y);
  if (cpu::has_planes(x)) return cpu::batch_norm_apply_planes(x, weight, bias, mean, rstd, y);
  const Tensor input = cpu::as_channel_rows(x);
  const int64_t channels = x.size(1);
  const auto center = elements_or(mean, channels, 0), shift = elements_or(bias, channels, 0);
  auto scale = elements_or(rstd, channels, 1);
  const auto gain = elements_or(weight, channels, 1);
  for (size_t c = 0; c < scale.size(); ++c) scale[c] *= gain[c];
  cpu::write_as_channel_rows(y, [&](Tensor& out) {
    Pieces(x.numel() / channels, channels).for_each([&](int64_t, int64_t row, int64_t rows) {
      const ReadFloats from(input, row * channels, rows * channels);
      const WriteFloats to(out, row * channels, rows * channels);
      cpu::vector::kernels().normalize_columns(from, center.data(), scale.data(), shift.data(), rows, channels, to);
    });
  });
}

void batch_norm_backward(const Tensor& gy, const Tensor& x, const Tensor& weight, const Tensor& mean,
                         const Tensor& rstd, Tensor& gx, Tensor& gweight, Tensor& gbias) {
  if (!is_ours(x)) return ref::batch_norm_backward(gy, x, weight, mean, rstd, gx, gweight, gbias);
  if (cpu::has_planes(x)) return cpu::batch_norm_backward_planes(gy, x, weight, mean, rstd, gx, gweight, gbias);
  const Tensor input = cpu::as_channel_rows(x), gradient = cpu::as_channel_rows(gy);
  const int64_t channels = x.size(1);
  const Pieces pieces = Pieces::with_sums(x.numel() / channels, channels);
  const auto& table = cpu::vector::kernels();
  const auto center = elements_or(mean, channels, 0), scale = elements_or(rstd, channels, 1);
  const auto weights = elements_or(weight, channels, 1);
  const Partial sums(pieces), products(pieces);
  pieces.for_each([&](int64_t piece, int64_t row, int64_t rows) {
    const ReadFloats g(gradient, row * channels, rows * channels), from(input, row * channels, rows * channels);
    table.reduce_columns[static_cast<int>(ReduceOp::sum)](g, rows, channels, channels, sums.row(piece));
    table.centered_products(g, from, center.data(), rows, channels, products.zeros(piece));
  });
  const std::vector<double> sum = sums.sum();
  std::vector<double> product = products.sum();  // of gy and the normalized x
  const auto count = static_cast<double>(pieces.rows);
  std::vector<float> gain(weights.size()), share(weights.size()), slope(weights.size());
  for (size_t c = 0; c < gain.size(); ++c) {
    product[c] *= static_cast<double>(scale[c]);
    gain[c] = weights[c] * scale[c];
    share[c] = static_cast<float>(sum[c] / count);
    slope[c] = static_cast<float>(product[c] / count * static_cast<double>(scale[c]));
  }
  store(sum, gbias);
  store(product, gweight);
  cpu::write_as_channel_rows(gx, [&](Tensor& out) {
    pieces.for_each([&](int64_t, int64_t row, int64_t rows) {
      const ReadFloats g(gradient, row * channels, rows * channels), from(input, row * channels, rows * channels);
      const WriteFloats to(out, row * channels, rows * channels);
      table.batch_norm_gradient(g, from, center.data(), gain.data(), share.data(), slope.data(), rows, channels, to);
    });
  });
}

void layer_norm_forward(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps, Tensor& y, Tensor& mean,
                        Tensor& rstd) {
  if (x.dtype() != DType::float32 || x.numel() == 0)
    return ref::layer_norm_forward(x, weight, bias, eps, y, mean, rstd);
  const Tensor input = as_layout(x, Layout::contiguous);
  const int64_t columns = x.size(1);
  const auto gain = elements_or(weight, columns, 1), shift = elements_or(bias, columns, 0);
  const auto& table = cpu::vector::kernels();
  write_as_layout(y, Layout::contiguous, [&](Tensor& out) {
    Pieces(x.size(0), columns).for_each([&](int64_t, int64_t row, int64_t rows) {
      for (int64_t r = row; r < row + rows; ++r) {
        const float* from = floats(input) + r * columns;
        const cpu::vector::RowMoments moments = table.row_moments(from, columns);
        const auto scale = static_cast<float>(1 / std::sqrt(static_cast<double>(moments.variance) + eps));
        mutable_floats(mean)[r * mean.strides()[0]] = moments.mean;
        mutable_floats(rstd)[r * rstd.strides()[0]] = scale;
        table.normalize_row(from, moments.mean, scale, gain.data(), shift.data(), mutable_floats(out) + r * columns,
                            columns);
      }
    });
  });
}

void layer_norm_backward(const Tensor& gy, const Tensor& x, const Tensor& weight, const Tensor& mean,
                         const Tensor& rstd, Tensor& gx, Tensor& gweight, Tensor& gbias) {
  if (x.dtype() != DType::float32 || x.numel() == 0)
    return ref::layer_norm_backward(gy, x, weight, mean, rstd, gx, gweight, gbias);
  const Tensor input = as_layout(x, Layout::contiguous), gradient = as_layout(gy, Layout::contiguous);
  const int64_t columns = x.size(1);
  const auto gain = elements_or(weight, columns, 1);
  const auto center = elements_or(mean, x.size(0), 0), scale = elements_or(rstd, x.size(0), 1);
  const Pieces pieces = Pieces::with_sums(x.size(0), columns, (x.size(0) + 63) / 64);  // one pass: they can be long
  const Partial weight_sums(pieces), bias_sums(pieces);
  write_as_layout(gx, Layout::contiguous, [&](Tensor& out) {
    pieces.for_each([&](int64_t piece, int64_t row, int64_t rows) {
      double *weight_sum = weight_sums.zeros(piece), *bias_sum = bias_sums.zeros(piece);
      for (int64_t r = row; r < row + rows; ++r)
        cpu::vector::kernels().layer_norm_row_backward(floats(gradient) + r * columns, floats(input) + r * columns,
                                                       center[static_cast<size_t>(r)], scale[static_cast<size_t>(r)],
                                                       gain.data(), mutable_floats(out) + r * columns, weight_sum,
                                                       bias_sum, columns);
    });
  });
  store(weight_sums.sum(), gweight);
  store(bias_sums.sum(), gbias);
}

}  // namespace gradus::kernels
