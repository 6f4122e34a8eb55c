#include "optim/contrib/shampoo.h"

#include "core/error.h"
#include "core/linalg.h"
#include "core/ops.h"
#include "core/ranges.h"

namespace gradus::optim {
namespace {

class ShampooRule final : public Rule {
 public:
  ShampooRule(const Tensor& parameter, const Shampoo& options) : options_(options) {
    const Tensor matrix = flatten(parameter, parameter.rank() > 1 ? 1 : 0);
    const auto start = [&](int64_t n, Tensor& statistics, Tensor& root) {
      if (n > options.max_dim) return;
      statistics = Tensor::eye(n, parameter.dtype()) * options.eps;
      root = Tensor::eye(n, parameter.dtype());
    };
    if (parameter.rank() > 0) start(matrix.size(0), left_, left_root_);
    if (parameter.rank() > 1) start(matrix.size(1), right_, right_root_);
  }

  Tensor direction(const Tensor& gradient, const Settings&) override {
    Tensor x = gradient.rank() > 1 ? flatten(gradient, 1) : reshape(gradient, {gradient.numel(), 1});
    if (left_.defined()) add_(left_, matmul(x, transpose(x, 0, 1)));
    if (right_.defined()) add_(right_, matmul(transpose(x, 0, 1), x));
    if (steps_++ % options_.every == 0) {
      const double exponent = left_.defined() && right_.defined() ? -0.25 : -0.5;
      if (left_.defined()) left_root_ = symmetric_power(left_, exponent, options_.eps);
      if (right_.defined()) right_root_ = symmetric_power(right_, exponent, options_.eps);
    }
    if (left_.defined()) x = matmul(left_root_, x);
    if (right_.defined()) x = matmul(x, right_root_);
    return reshape(x, gradient.shape());
  }
  void slots(Slots& slots) override {
    if (left_.defined()) {
      slots.add("left", left_);
      slots.add("left_root", left_root_);
    }
    if (right_.defined()) {
      slots.add("right", right_);
      slots.add("right_root", right_root_);
    }
    slots.add("steps", steps_);
  }

 private:
  const Shampoo options_;
  Tensor left_, right_, left_root_, right_root_;
  int64_t steps_ = 0;
};

}  // namespace

std::unique_ptr<Rule> Shampoo::make(const Tensor& parameter) const {
  if (every < 1 || !is_positive(eps) || max_dim < 0)
    fail(ErrorKind::value, "shampoo", "needs every >= 1, a finite eps > 0 and max_dim >= 0, got ", every, ", ", eps,
         " and ", max_dim);
  return std::make_unique<ShampooRule>(parameter, *this);
}

}  // namespace gradus::optim
