// FOP, first-order preconditioning (Moskovitz et al. 2019): a small positive matrix per layer, P = M M^T, learned by
// hypergradient descent, together with the paper's variants: FOP-norm (equation 11), low rank (equation 23), rescaled
// (section 6), and the additive update that its Figure 1 was made with.
#pragma once

#include <optional>

#include "optim/preconditioner.h"

namespace gradus::optim {

/// Convolutions [O, I, kh, kw]: P is kh*kw x kh*kw and mixes the positions of the kernel, shared by all filters.
/// Linear layers [out, in]: P is in x in and mixes the inputs, shared by all outputs. Nothing else is preconditioned.
struct Fop {
  enum class Form {
    automatic,          ///< factor for convolutions, identity_plus for linear layers
    factor,             ///< P = M M^T from M = I
    identity_plus,      ///< P = I + M M^T, M [n, rank], from small noise (M = 0 would never learn)
    direct,             ///< P = (A + A^T) / 2 from A = I: the paper's P += rho eps (C + C^T) is this with twice the rho
    direct_unsymmetric  ///< P free, from I
  };
  enum class Norm {
    off,
    through,  ///< FOP-norm: P = sqrt(n) Q / |Q|_F, where Q is the form above, and its exact hypergradient
    constant  ///< the same P; the hypergradient is that of Q itself
  };
  /// Section 6: P = gamma(t) Q / |Q|_2 with gamma(t) = delta(t) |Q|_2 + (1 - delta(t)) limit and delta(t) = t^-power.
  /// Needs the eigenvalues of Q at every step.
  struct Rescale {
    double limit = 1;  ///< p_inf, the norm that P tends to: below 1 / L for an L-smooth objective
    double power = 2;
    bool through = false;  ///< differentiate through |Q|_2 too; the paper's proof holds it constant
  };

  AnyRule hyper = Adam{.lr = 1e-4};
  Form form = Form::automatic;
  Norm norm = Norm::off;
  std::optional<Rescale> rescale = std::nullopt;
  /// Of identity_plus, which `automatic` takes for dense layers alone; 0 is full rank for up to max_dim inputs and
  /// large_rank above.
  int64_t rank = 0;
  int64_t max_dim = 1024;
  int64_t large_rank = 25;
  /// identity_plus starts from normal noise of standard deviation init_gain / sqrt(rank). The angles of the paper's
  /// Figure A.1 need a gain of about 3.5.
  double init_gain = 0.01;
  uint64_t seed = 0;
  Learning learning = {};

  static constexpr const char* name = "fop";
  std::unique_ptr<Preconditioner> make(const Site& site) const;
};

}  // namespace gradus::optim
