#include "optim/contrib/muon.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/ops.h"

namespace gradus::optim {
namespace {

/// All singular values of the result lie near 1: the polynomial maps [0, 1] there quickly, without converging.
Tensor orthogonalized(const Tensor& g, int64_t iterations) {
  constexpr double a = 3.4445, b = -4.7750, c = 2.0315;
  const bool tall = g.size(0) > g.size(1);
  Tensor x = tall ? transpose(g, 0, 1) : g;
  x = x / (norm(x) + 1e-7);
  for (int64_t i = 0; i < iterations; ++i) {
    const Tensor square = matmul(x, transpose(x, 0, 1));
    x = x * a + matmul(square * b + matmul(square, square) * c, x);
  }
  return tall ? transpose(x, 0, 1) : x;
}

class MuonRule final : public Rule {
 public:
  MuonRule(const Tensor& parameter, const Muon& options)
      : velocity_(zeros_like(parameter)), nesterov_(options.nesterov), iterations_(options.iterations) {}

  Tensor direction(const Tensor& gradient, const Settings& settings) override {
    const double momentum = settings.at("momentum");
    axpby_(1 - momentum, gradient, momentum, velocity_);
    Tensor x = velocity_;
    if (nesterov_) {
      x = clone(gradient);
      axpby_(momentum, velocity_, 1 - momentum, x);
    }
    const Tensor matrix = flatten(x, 1);
    const double tall = static_cast<double>(matrix.size(0)) / static_cast<double>(matrix.size(1));
    return reshape(orthogonalized(matrix, iterations_) * std::sqrt(std::max(1.0, tall)), gradient.shape());
  }
  void slots(Slots& slots) override { slots.add("velocity", velocity_); }

 private:
  Tensor velocity_;
  bool nesterov_;
  int64_t iterations_;
};

}  // namespace

std::unique_ptr<Rule> Muon::make(const Tensor& parameter) const {
  if (parameter.rank() < 2)
    fail(ErrorKind::value, "muon", "is for weights of two or more dimensions, but a parameter is ", parameter.shape(),
         ": give biases and scales another rule, .group(std::not_fn(optim::is_weight), {.rule = optim::Adam{}})");
  if (iterations < 1) fail(ErrorKind::value, "muon", "expects iterations of at least 1, got ", iterations);
  return std::make_unique<MuonRule>(parameter, *this);
}

}  // namespace gradus::optim
