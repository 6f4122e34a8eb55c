// One learned number per element: m has the shape of the weight.
#include "optim/precondition/pp_hd.h"

#include <algorithm>

#include "core/ops.h"

namespace gradus::optim {
namespace {

class DiagonalPreconditioner final : public Preconditioner {
 public:
  DiagonalPreconditioner(const Site& site, bool positive) : like_(site.value), positive_(positive) {}

  Tensor initial() const override {
    Tensor ones = Tensor::empty_like(like_);
    fill_(ones, 1);
    return ones;
  }
  std::string learned_name() const override { return positive_ ? "roots" : "scales"; }
  Tensor apply(const Tensor& m, const Tensor& x, const StepInfo&) const override {
    return positive_ ? x * m * m : x * m;
  }
  Tensor gradient(const Tensor& m, const Tensor& g, const Tensor& x, const StepInfo&) const override {
    Tensor product = g * x;
    if (positive_) {
      binary_(BinaryOp::mul, product, m);
      scale_(product, 2);
    }
    return product;
  }

  bool is_diagonal() const override { return !positive_; }

  Tensor eigenvalues(const Tensor& m, const StepInfo&) const override {
    std::vector<double> values = cast(positive_ ? m * m : m, DType::float64).to_vector<double>();
    std::sort(values.begin(), values.end());
    return Tensor::from(values, {m.numel()});
  }
  int64_t paper_count() const override { return like_.numel(); }

 private:
  Tensor like_;
  bool positive_;
};

}  // namespace

std::unique_ptr<Preconditioner> PpHd::make(const Site& site) const {
  if (!is_weight(site.info) || site.value.rank() < 2) return nullptr;
  return std::make_unique<DiagonalPreconditioner>(site, positive);
}

}  // namespace gradus::optim
