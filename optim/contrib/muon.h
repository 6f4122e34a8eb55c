// Muon (Jordan et al. 2024): momentum whose matrix is replaced by the nearest one with orthonormal rows or columns.
#pragma once

#include "optim/rule.h"

namespace gradus::optim {

/// v <- momentum v + (1 - momentum) u, x = (1 - momentum) u + momentum v (Nesterov) or v, as a matrix [out, rest];
/// d = sqrt(max(1, out / rest)) NS(x), where NS divides by the norm and takes `iterations` Newton-Schulz steps
/// x <- a x + (b x x^T + c (x x^T)^2) x with (a, b, c) = (3.4445, -4.7750, 2.0315). For weights of two or more
/// dimensions; give biases and scales another rule with .group(). Throws for those where they are not.
struct Muon {
  double lr = 0.02;
  double momentum = 0.95;
  bool nesterov = true;
  int64_t iterations = 5;

  static constexpr const char* name = "muon";
  Settings settings() const { return {{"lr", lr}, {"momentum", momentum}}; }
  std::unique_ptr<Rule> make(const Tensor& parameter) const;
};

}  // namespace gradus::optim
