// Gradients against central differences, in float64: for users' own operations as for the library's.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "autograd/variable.h"

namespace gradus {

struct GradcheckOptions {
  double step = 1e-4;      ///< of a fourth-order central difference
  double relative = 1e-6;  ///< allowed |analytic - numeric| / max(1, |numeric|)
  uint64_t seed = 0;       ///< of the random weights that reduce the output to one number, and of chosen elements
  int64_t most = 0;        ///< elements of an input that are checked, chosen at random; 0: all
};
struct GradcheckResult {
  bool ok = true;
  double worst = 0;     ///< largest relative error
  std::string message;  ///< where it is: input, element, analytic and numeric value
  explicit operator bool() const { return ok; }
};
using VarFunction = std::function<Var(std::span<const Var>)>;

/// Checks d f / d input for every element of every input, which must be float64 leaves (Var::leaf) and not frozen. f
/// computes from its arguments alone. Below 1 the tolerance is absolute: scale small outputs up.
GradcheckResult gradcheck(const VarFunction& f, const std::vector<Var>& inputs, const GradcheckOptions& options = {});
/// Checks the gradient of the gradient in the same way.
GradcheckResult gradgradcheck(const VarFunction& f, const std::vector<Var>& inputs,
                              const GradcheckOptions& options = {});

/// The same of a function that uses its inputs by itself, as a loss uses the parameters of a model that was built under
/// DefaultDType(DType::float64):
///
///   gradcheck([&] { return cross_entropy(net(x), labels); }, net.parameters(), {.step = 1e-6, .most = 20})
///
/// Elements are moved in place, and moved back. Every call must compute the same: with dropout it begins with
/// net.set_step(0). What else the calls change, such as running averages, stays changed. A step across the kink of a
/// ReLU finds no gradient: small ones meet fewer.
GradcheckResult gradcheck(const std::function<Var()>& f, const VarList& inputs, const GradcheckOptions& options = {});
GradcheckResult gradgradcheck(const std::function<Var()>& f, const VarList& inputs,
                              const GradcheckOptions& options = {});

}  // namespace gradus
