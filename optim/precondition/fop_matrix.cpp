// FOP with P as a matrix [n, n]: M M^T, or learned directly. For convolutions n is kh*kw, 9 or so.
#include <cmath>

#include "core/error.h"
#include "core/linalg.h"
#include "core/ops.h"
#include "optim/precondition/fop_forms.h"
#include "optim/precondition/scaling.h"

namespace gradus::optim {
namespace {

class FopMatrix final : public Preconditioner {
 public:
  FopMatrix(const FopSite& site, const Fop& options)
      : site_(site), form_(options.form), norm_(options.norm), rescale_(options.rescale) {
    if (form_ == Fop::Form::automatic) form_ = Fop::Form::factor;
    if (rescale_ && form_ == Fop::Form::direct_unsymmetric)
      fail(ErrorKind::value, "fop", "rescale needs a symmetric P, got form direct_unsymmetric; use direct");
  }

  Tensor initial() const override { return Tensor::eye(site_.n, site_.dtype); }
  std::string learned_name() const override {
    switch (form_) {
      case Fop::Form::factor: return "factor";
      case Fop::Form::direct: return "direct";
      default: return "direct_unsymmetric";
    }
  }

  Tensor apply(const Tensor& m, const Tensor& x, const StepInfo& at) const override {
    const Tensor rows = matrix_view(x, site_.info, site_.side);
    const Tensor result =
        thin() ? matmul(matmul(rows, m), transpose(m, 0, 1)) : matmul(rows, transpose(matrix(m, at), 0, 1));
    return reshape(result, x.shape());
  }

  Tensor gradient(const Tensor& m, const Tensor& g, const Tensor& x, const StepInfo& at) const override {
    const Tensor gt = transpose(matrix_view(g, site_.info, site_.side), 0, 1);
    const Tensor rows = matrix_view(x, site_.info, site_.side);
    if (thin()) {  // (C + C^T) M without forming C
      Tensor h = matmul(gt, matmul(rows, m));
      add_(h, matmul(transpose(rows, 0, 1), matmul(transpose(gt, 0, 1), m)));
      return h;
    }
    return gradient_of_rows(m, matmul(gt, rows), at);
  }

  // Weights of few rows do better with apply() and gradient().
  int64_t row_length() const override { return !thin() && site_.n <= longest_updated_row ? site_.n : 0; }
  /// C = G^T X is the gradient with respect to Q where P = Q.
  Tensor gradient_of_rows(const Tensor& m, const Tensor& correlation, const StepInfo& at) const override {
    Tensor c = correlation;
    if (norm_ == Fop::Norm::through || rescale_) {
      const Tensor q = form(m);
      const Scaled scaled = scaling(q, at);
      const double alignment = scaled.slope == 0 ? 0 : dot(q, c);
      c = c * scaled.k;
      if (scaled.slope != 0) axpby_(scaled.slope * alignment, scaled.direction, 1, c);
    }
    switch (form_) {
      case Fop::Form::factor: return matmul(c + transpose(c, 0, 1), m);
      case Fop::Form::direct: return (c + transpose(c, 0, 1)) * 0.5;
      default: return c;
    }
  }
  std::optional<MatrixUpdate> matrix_update() const override {
    if (rescale_) return std::nullopt;
    return MatrixUpdate{.form = form_ == Fop::Form::factor   ? MatrixUpdate::Form::product
                                : form_ == Fop::Form::direct ? MatrixUpdate::Form::symmetric
                                                             : MatrixUpdate::Form::plain,
                        .norm = norm_ == Fop::Norm::off ? 0 : std::sqrt(static_cast<double>(site_.n)),
                        .differentiate_norm = norm_ == Fop::Norm::through};
  }

  Tensor matrix(const Tensor& m, const StepInfo& at) const override {
    const Tensor q = form(m);
    return scales() ? q * scaling(q, at).k : q;
  }
  int64_t paper_count() const override { return site_.n; }

 private:
  struct Scaled : Scaling {
    Tensor direction;  ///< d|Q| / dQ, where the slope is not 0
  };

  bool scales() const { return norm_ != Fop::Norm::off || rescale_.has_value(); }
  // Few rows: two products with M cost less than forming M M^T.
  bool thin() const { return form_ == Fop::Form::factor && !scales() && site_.rows < site_.n; }

  Tensor form(const Tensor& m) const {
    switch (form_) {
      case Fop::Form::factor: return matmul(m, transpose(m, 0, 1));
      case Fop::Form::direct: return (m + transpose(m, 0, 1)) * 0.5;
      default: return m;
    }
  }

  Scaled scaling(const Tensor& q, const StepInfo& at) const {
    if (!rescale_) {
      const double frobenius = norm(q);
      return {norm_scaling(frobenius, site_.n), q * (1 / frobenius)};
    }
    const SymmetricEigen eigen = symmetric_eigen(q);
    const double lowest = select(eigen.values, 0, 0).item(), highest = select(eigen.values, 0, site_.n - 1).item();
    const bool negative = -lowest > highest;
    const Scaling scaling = rescale_scaling(*rescale_, negative ? -lowest : highest, at.step);
    if (scaling.slope == 0) return {scaling, {}};
    const Tensor v = slice(eigen.vectors, 1, negative ? 0 : site_.n - 1, negative ? 1 : site_.n);
    return {scaling, cast(matmul(v, transpose(v, 0, 1)) * (negative ? -1.0 : 1.0), site_.dtype)};
  }

  FopSite site_;
  Fop::Form form_;
  Fop::Norm norm_;
  std::optional<Fop::Rescale> rescale_;
};

}  // namespace

std::unique_ptr<Preconditioner> make_fop_matrix(const FopSite& site, const Fop& options) {
  return std::make_unique<FopMatrix>(site, options);
}

}  // namespace gradus::optim
