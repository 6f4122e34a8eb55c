// A rule's step of one element, for the kernels that take steps of many parameters at once.
#pragma once

#include <cmath>

#include "core/cuda/element.h"
#include "core/kernels.h"

namespace gradus::cuda {

/// A rule's coefficients and state.
struct RuleStep {
  explicit RuleStep(const RuleUpdate& r)
      : kind(r.kind),
        lr(r.lr),
        decay(r.decay),
        momentum(r.momentum),
        adam(r.adam),
        first(r.first ? r.first->raw() : nullptr),
        second(r.second ? r.second->raw() : nullptr),
        curvature(r.curvature ? r.curvature->raw() : nullptr),
        magnitudes(r.magnitudes),
        root(r.root) {}
  RuleStep() = default;

  /// The step of element i of `value` along u.
  GRADUS_ANYWHERE void step(double u, void* value, DType type, int64_t i) const {
    double d = u;
    if (kind == RuleUpdate::Kind::adam || kind == RuleUpdate::Kind::curvature) {
      store<double>(first, type, i, adam.beta1 * load<double>(first, type, i) + (1 - adam.beta1) * u);
      double more = u * u;
      if (kind == RuleUpdate::Kind::curvature) {
        const auto h = load<double>(curvature, type, i);
        more = magnitudes ? std::abs(h) : h * h;
      }
      store<double>(second, type, i, adam.beta2 * load<double>(second, type, i) + (1 - adam.beta2) * more);
      const double corrected = load<double>(second, type, i) / adam.correction2;
      d = (load<double>(first, type, i) / adam.correction1) / ((root ? std::sqrt(corrected) : corrected) + adam.eps);
    } else if (kind != RuleUpdate::Kind::plain) {
      store<double>(first, type, i, momentum * load<double>(first, type, i) + u);
      const auto velocity = load<double>(first, type, i);
      d = kind == RuleUpdate::Kind::momentum ? velocity : u + momentum * velocity;
    }
    store<double>(value, type, i, (1 - lr * decay) * load<double>(value, type, i) - lr * d);
  }

  RuleUpdate::Kind kind = RuleUpdate::Kind::plain;
  double lr = 0, decay = 0, momentum = 0;
  AdamSpec adam = {};
  void *first = nullptr, *second = nullptr;
  const void* curvature = nullptr;
  bool magnitudes = false, root = true;
};

}  // namespace gradus::cuda
