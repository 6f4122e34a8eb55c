// AdaHessian's average over a kernel.
#include "optim/rules/adahessian.h"

#include "optim/rules/curvature_rule.h"

namespace gradus::optim {
namespace {

class AdaHessianRule final : public CurvatureRule {
 public:
  explicit AdaHessianRule(const Tensor& parameter) : CurvatureRule(parameter, false, true), like_(parameter) {}

  void set_curvature(const Tensor& h) override {
    if (h.rank() != 4) return CurvatureRule::set_curvature(h);
    Tensor spread = Tensor::empty_like(like_);
    copy_(spread, expand(mean(abs(h), {2, 3}, true), h.shape()));
    CurvatureRule::set_curvature(spread);
  }

 private:
  Tensor like_;
};

}  // namespace

std::unique_ptr<Rule> AdaHessian::make(const Tensor& parameter) const {
  return std::make_unique<AdaHessianRule>(parameter);
}

}  // namespace gradus::optim
