// FOP with P = I + M M^T (equation 23): products with M [n, rank], and a matrix [n, n] only where that is small.
#include <cmath>
#include <vector>

#include "core/linalg.h"
#include "core/ops.h"
#include "core/random.h"
#include "optim/precondition/fop_forms.h"
#include "optim/precondition/scaling.h"

namespace gradus::optim {
namespace {

class FopLowRank final : public Preconditioner {
 public:
  FopLowRank(const FopSite& site, const Fop& options, int64_t rank)
      : site_(site),
        rank_(rank),
        std_(options.init_gain / std::sqrt(static_cast<double>(rank))),
        seed_(options.seed),
        norm_(options.norm),
        rescale_(options.rescale) {}

  Tensor initial() const override {
    return random_normal({site_.n, rank_}, 0, std_, {.seed = seed_, .stream = site_.index}, site_.dtype);
  }

  std::string learned_name() const override { return "identity_plus"; }

  Tensor apply(const Tensor& m, const Tensor& x, const StepInfo& at) const override {
    const Tensor rows = matrix_view(x, site_.info, site_.side);
    const double k = scales() ? scaling(m, at).k : 1;
    Tensor result = matmul(matmul(rows, m), transpose(m, 0, 1));
    axpby_(k, rows, k, result);
    return reshape(result, x.shape());
  }

  Tensor gradient(const Tensor& m, const Tensor& g, const Tensor& x, const StepInfo& at) const override {
    const Tensor g_rows = matrix_view(g, site_.info, site_.side), x_rows = matrix_view(x, site_.info, site_.side);
    const Tensor gm = matmul(g_rows, m), xm = matmul(x_rows, m);
    Tensor h = matmul(transpose(g_rows, 0, 1), xm);  // (C + C^T) M, C = G^T X
    add_(h, matmul(transpose(x_rows, 0, 1), gm));
    if (norm_ == Fop::Norm::through || rescale_) {
      const Scaled scaled = scaling(m, at);
      scale_(h, scaled.k);
      if (scaled.slope != 0) {
        const double alignment = dot(g_rows, x_rows) + dot(gm, xm);  // <Q, C>
        axpby_(scaled.slope * alignment, scaled.direction, 1, h);
      }
    }
    return h;
  }

  // At full rank, and with rows enough, P as a matrix is the shorter way.
  int64_t row_length() const override {
    const bool small = rank_ == site_.n && site_.n <= longest_updated_row && site_.rows >= site_.n;
    return small && site_.side == MatrixSide::in && !scales() ? site_.n : 0;
  }
  Tensor gradient_of_rows(const Tensor& m, const Tensor& c, const StepInfo&) const override {
    return matmul(c + transpose(c, 0, 1), m);
  }
  std::optional<MatrixUpdate> matrix_update() const override {
    return MatrixUpdate{.form = MatrixUpdate::Form::product_plus};
  }

  Tensor matrix(const Tensor& m, const StepInfo& at) const override {
    if (site_.n > largest_matrix) return {};
    Tensor q = matmul(m, transpose(m, 0, 1));
    add_(q, Tensor::eye(site_.n, site_.dtype));
    return scales() ? q * scaling(m, at).k : q;
  }
  // M M^T has the eigenvalues of M^T M, and zeros.
  Tensor eigenvalues(const Tensor& m, const StepInfo& at) const override {
    const double k = scales() ? scaling(m, at).k : 1;
    std::vector<double> values(static_cast<size_t>(site_.n - rank_), k);
    for (double value : symmetric_eigenvalues(gram(m)).to_vector<double>()) values.push_back(k * (1 + value));
    return Tensor::from(values, {site_.n});
  }
  int64_t paper_count() const override { return site_.n; }

 private:
  static constexpr int64_t largest_matrix = 1024;

  struct Scaled : Scaling {
    Tensor direction;  ///< d|Q| / dM, where the slope is not 0
  };

  bool scales() const { return norm_ != Fop::Norm::off || rescale_.has_value(); }
  static Tensor gram(const Tensor& m) { return matmul(transpose(m, 0, 1), m); }

  Scaled scaling(const Tensor& m, const StepInfo& at) const {
    const Tensor k = gram(m);
    if (!rescale_) {  // |I + M M^T|^2 = n + 2 |M|^2 + |M^T M|^2, and its gradient is 4 (I + M M^T) M
      const double frobenius = std::sqrt(static_cast<double>(site_.n) + 2 * dot(m, m) + dot(k, k));
      Tensor direction = matmul(m, k);
      axpby_(2 / frobenius, m, 2 / frobenius, direction);
      return {norm_scaling(frobenius, site_.n), direction};
    }
    const SymmetricEigen eigen = symmetric_eigen(k);  // the top eigenvector of M M^T is M w / |M w|
    const double top = select(eigen.values, 0, rank_ - 1).item();
    const Scaling scaling = rescale_scaling(*rescale_, 1 + top, at.step);
    if (scaling.slope == 0) return {scaling, {}};
    const Tensor w = cast(slice(eigen.vectors, 1, rank_ - 1, rank_), site_.dtype);
    return {scaling, matmul(matmul(m, w), transpose(w, 0, 1)) * 2.0};
  }

  FopSite site_;
  int64_t rank_;
  double std_;
  uint64_t seed_;
  Fop::Norm norm_;
  std::optional<Fop::Rescale> rescale_;
};

}  // namespace

std::unique_ptr<Preconditioner> make_fop_low_rank(const FopSite& site, const Fop& options, int64_t rank) {
  return std::make_unique<FopLowRank>(site, options, rank);
}

}  // namespace gradus::optim
