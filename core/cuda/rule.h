// A rule's step of one element, for the kernels that take steps of many parameters at once.
#pragma once

#include <cmath>

#include "core/cuda/element.h"
#include "core/kernels.h"

namespace gradus::cuda {

/// A parameter's element and what its rule keeps of it, as they are stored.
template <class T>
struct RuleState {
  T value = {}, first = {}, second = {};
  T curvature = {};
};

/// A rule's coefficients and state. A kernel fetches an element, advances it, and puts it back; one whose rules never
/// divide says so, and needs fewer registers.
struct RuleStep {
  explicit RuleStep(const RuleUpdate& r)
      : kind(r.kind),
        lr(r.lr),
        decay(r.decay),
        momentum(r.momentum),
        adam(r.adam),
        squares(r.squares),
        first(r.first && r.kind != RuleUpdate::Kind::plain ? r.first->raw() : nullptr),
        second(r.second ? r.second->raw() : nullptr),
        curvature(r.curvature ? r.curvature->raw() : nullptr),
        magnitudes(r.magnitudes),
        root(r.root) {}
  RuleStep() = default;

  /// Kinds that divide by the root of a second moment.
  GRADUS_ANYWHERE bool divides() const {
    return kind == RuleUpdate::Kind::adam || kind == RuleUpdate::Kind::curvature || kind == RuleUpdate::Kind::squares;
  }

  /// Element i of `value` and of the state.
  template <class T>
  GRADUS_ANYWHERE RuleState<T> fetch(const T* value, int64_t i) const {
    return fetch_rest(value[i], first ? static_cast<const T*>(first)[i] : T{}, i);
  }
  /// The same where the value and the first state are known.
  template <bool may_divide = true, class T>
  GRADUS_ANYWHERE RuleState<T> fetch_rest(T value, T first_state, int64_t i) const {
    RuleState<T> s;
    s.value = value;
    s.first = first_state;
    if (may_divide && divides()) s.second = static_cast<const T*>(second)[i];
    if (may_divide && kind == RuleUpdate::Kind::curvature) s.curvature = static_cast<const T*>(curvature)[i];
    return s;
  }

  /// The step along u. What is stored is rounded before it is used.
  template <bool may_divide = true, class T>
  GRADUS_ANYWHERE void advance(double u, RuleState<T>& s) const {
    double d = u;
    if (may_divide && kind == RuleUpdate::Kind::squares) {
      s.second = ref::narrow<T>(squares.keep * wide(s.second) + squares.add * u * u);
      d = squares.factor * u / (std::sqrt(wide(s.second)) + squares.eps);
      if (first) {
        s.first = ref::narrow<T>(momentum * wide(s.first) + d);
        d = wide(s.first);
      }
    } else if (may_divide && divides()) {
      s.first = ref::narrow<T>(adam.beta1 * wide(s.first) + (1 - adam.beta1) * u);
      double more = u * u;
      if (kind == RuleUpdate::Kind::curvature) {
        const double h = wide(s.curvature);
        more = magnitudes ? std::abs(h) : h * h;
      }
      s.second = ref::narrow<T>(adam.beta2 * wide(s.second) + (1 - adam.beta2) * more);
      const double corrected = wide(s.second) / adam.correction2;
      d = (wide(s.first) / adam.correction1) / ((root ? std::sqrt(corrected) : corrected) + adam.eps);
    } else if (kind != RuleUpdate::Kind::plain) {
      s.first = ref::narrow<T>(momentum * wide(s.first) + u);
      const double velocity = wide(s.first);
      d = kind == RuleUpdate::Kind::momentum ? velocity : u + momentum * velocity;
    }
    s.value = ref::narrow<T>((1 - lr * decay) * wide(s.value) - lr * d);
  }

  template <bool may_divide = true, class T>
  GRADUS_ANYWHERE void put(const RuleState<T>& s, T* value, int64_t i) const {
    value[i] = s.value;
    if (first) static_cast<T*>(first)[i] = s.first;
    if (may_divide && divides()) static_cast<T*>(second)[i] = s.second;
  }

  /// All of it; returns the new value.
  template <class T>
  GRADUS_ANYWHERE double step(double u, T* value, int64_t i) const {
    RuleState<T> s = fetch(value, i);
    advance(u, s);
    put(s, value, i);
    return wide(s.value);
  }

  RuleUpdate::Kind kind = RuleUpdate::Kind::plain;
  double lr = 0, decay = 0, momentum = 0;
  AdamSpec adam = {};
  SquaresSpec squares = {};
  void *first = nullptr, *second = nullptr;
  const void* curvature = nullptr;
  bool magnitudes = false, root = true;
};

}  // namespace gradus::cuda
