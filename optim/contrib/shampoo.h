// Shampoo (Gupta, Koren and Singer 2018, arXiv 1802.09568, algorithm 1).
#pragma once

#include "optim/rule.h"

namespace gradus::optim {

/// For a gradient u as a matrix [out, rest]: L <- L + u u^T, R <- R + u^T u from eps I, and d = L^(-1/4) u R^(-1/4).
/// Where one side is longer than max_dim, or the parameter has one dimension, the other alone is taken: d = L^(-1/2) u;
/// where both are, or neither is left, d = u. The roots are worked out anew every `every` steps.
struct Shampoo {
  double lr = 0.1;
  double eps = 1e-4;
  int64_t every = 1;
  int64_t max_dim = 1024;

  static constexpr const char* name = "shampoo";
  Settings settings() const { return {{"lr", lr}}; }
  std::unique_ptr<Rule> make(const Tensor& parameter) const;
};

}  // namespace gradus::optim
