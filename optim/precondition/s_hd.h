// S-HD: one learned step size per layer, by hypergradient descent (Baydin et al. 2018; the FOP paper's scalar
// baseline).
#pragma once

#include "optim/preconditioner.h"

namespace gradus::optim {

/// Weights of every kind with two or more dimensions; biases and scales are left alone.
struct SHd {
  enum class Form {
    scale,     ///< P = s I from s = 1, on top of the scheduled learning rate
    positive,  ///< P = m^2 I from m = 1
    /// The learning rate itself is learned: theta <- theta - e d, d the rule's whole direction, from e = lr. A schedule
    /// of lr, and setting it, has no say in e, but where it is 0; decoupled decay and what scales the steps keep it.
    baydin
  };

  AnyRule hyper = Adam{.lr = 1e-4};
  Form form = Form::scale;
  Learning learning = {};  ///< baydin ignores include_lr and acts_on: they follow from its definition

  static constexpr const char* name = "s-hd";
  std::unique_ptr<Preconditioner> make(const Site& site) const;
};

}  // namespace gradus::optim
