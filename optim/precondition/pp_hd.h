// PP-HD: one learned step size per parameter element, by hypergradient descent (the FOP paper's diagonal baseline).
#pragma once

#include "optim/preconditioner.h"

namespace gradus::optim {

/// P = diag(d) from d = 1, or diag(m^2) from m = 1, over weights with two or more dimensions. Single products of
/// gradient elements are small: with include_lr they fall below the eps of an Adam as inner rule, which damps learning.
struct PpHd {
  AnyRule hyper = Adam{.lr = 1e-4};
  bool positive = false;
  Learning learning = {};

  static constexpr const char* name = "pp-hd";
  std::unique_ptr<Preconditioner> make(const Site& site) const;
};

}  // namespace gradus::optim
