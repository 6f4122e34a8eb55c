// One learned number per weight: m has shape [1].
#include "optim/precondition/s_hd.h"

#include "core/ops.h"

namespace gradus::optim {
namespace {

class ScalarPreconditioner final : public Preconditioner {
 public:
  ScalarPreconditioner(const Site& site, SHd::Form form)
      : form_(form), dtype_(site.value.dtype()), start_(form == SHd::Form::baydin ? site.lr : 1) {}

  Tensor initial() const override { return Tensor::full({1}, start_, dtype_); }
  std::string learned_name() const override {
    switch (form_) {
      case SHd::Form::positive: return "root";
      case SHd::Form::baydin: return "learning_rate";
      default: return "scale";
    }
  }

  Tensor apply(const Tensor& m, const Tensor& x, const StepInfo& at) const override { return x * factor(m, at); }

  Tensor gradient(const Tensor& m, const Tensor& g, const Tensor& x, const StepInfo& at) const override {
    return gradient_of_rows(m, Tensor::full({1, 1}, dot(g, x), dtype_), at);
  }

  // <g, P x> = factor(m) <g, x>
  int64_t row_length() const override { return 1; }
  Tensor gradient_of_rows(const Tensor& m, const Tensor& c, const StepInfo& at) const override {
    const Tensor alignment = reshape(c, {1});
    switch (form_) {
      case SHd::Form::positive: return m * alignment * 2.0;
      case SHd::Form::baydin: return alignment * (at.lr == 0 ? 0 : 1 / at.lr);
      default: return alignment;
    }
  }
  std::optional<MatrixUpdate> matrix_update() const override {
    return form_ == SHd::Form::scale ? std::optional(MatrixUpdate{.form = MatrixUpdate::Form::plain}) : std::nullopt;
  }

  // Baydin's rule: e steps along the rule's direction, and the learning rate that multiplies later must cancel.
  Learning learning(Learning chosen) const override {
    if (form_ == SHd::Form::baydin) {
      chosen.include_lr = true;
      chosen.acts_on = ActsOn::direction;
    }
    return chosen;
  }

  Tensor matrix(const Tensor& m, const StepInfo& at) const override { return reshape(factor(m, at), {1, 1}); }

 private:
  Tensor factor(const Tensor& m, const StepInfo& at) const {
    switch (form_) {
      case SHd::Form::positive: return m * m;
      case SHd::Form::baydin: return at.lr == 0 ? m : m * (1 / at.lr);
      default: return m;
    }
  }

  SHd::Form form_;
  DType dtype_;
  double start_;
};

}  // namespace

std::unique_ptr<Preconditioner> SHd::make(const Site& site) const {
  if (!is_weight(site.info) || site.value.rank() < 2) return nullptr;
  return std::make_unique<ScalarPreconditioner>(site, form);
}

}  // namespace gradus::optim
