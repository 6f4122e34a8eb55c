#include "optim/contrib/prodigy.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/ops.h"
#include "core/ranges.h"

namespace gradus::optim {
namespace {

class ProdigyRule final : public Rule {
 public:
  ProdigyRule(const Tensor& parameter, const Prodigy& options)
      : parameter_(parameter),
        first_moment_(zeros_like(parameter)),
        second_moment_(zeros_like(parameter)),
        sum_(zeros_like(parameter)),
        d0_(options.d0),
        d_(options.d0) {}

  // The optimizer multiplies with lr.
  Tensor direction(const Tensor& gradient, const Settings& settings) override {
    const double beta1 = settings.at("beta1"), beta2 = settings.at("beta2"), lr = settings.at("lr");
    const double beta3 = std::sqrt(beta2), d = d_, weight = d / d0_ * d * lr;
    if (!start_.defined()) start_ = clone(parameter_);
    numerator_ = beta3 * numerator_ + weight * dot(gradient, start_ - parameter_);
    axpby_(weight, gradient, beta3, sum_);
    axpby_(d * (1 - beta1), gradient, beta1, first_moment_);
    axpby_(d * d * (1 - beta2), square(gradient), beta2, second_moment_);
    const double denominator = sum(abs(sum_)).item();
    if (denominator > 0) d_ = std::max(d, numerator_ / denominator);
    return first_moment_ * d / (sqrt(second_moment_) + d_ * settings.at("eps"));
  }
  void slots(Slots& slots) override {
    slots.add("start", start_, parameter_);
    slots.add("first_moment", first_moment_);
    slots.add("second_moment", second_moment_);
    slots.add("sum", sum_);
    slots.add("numerator", numerator_);
    slots.add("d", d_);
  }

 private:
  const Tensor parameter_;  ///< its own memory
  Tensor start_;            ///< undefined until the first step
  Tensor first_moment_, second_moment_, sum_;
  double d0_, d_, numerator_ = 0;
};

}  // namespace

std::unique_ptr<Rule> Prodigy::make(const Tensor& parameter) const {
  if (!is_positive(d0))
    fail(ErrorKind::value, "prodigy", "d0, the first estimate, must be finite and above 0, got ", d0);
  return std::make_unique<ProdigyRule>(parameter, *this);
}

}  // namespace gradus::optim
