// The two ways to hold FOP's P: as a matrix [n, n] (fop_matrix.cpp), and as I + M M^T from its factor
// (fop_low_rank.cpp). Fop::make chooses. Internal to optim.
#pragma once

#include <memory>

#include "optim/precondition/fop.h"

namespace gradus::optim {

/// What both need to know about a weight seen as rows of length n: U = G P for G [rows, n].
struct FopSite {
  ParamInfo info;
  MatrixSide side;
  int64_t rows, n;
  DType dtype;
  uint64_t index;
};

/// factor, direct, direct_unsymmetric.
std::unique_ptr<Preconditioner> make_fop_matrix(const FopSite& site, const Fop& options);
/// identity_plus with M [n, rank].
std::unique_ptr<Preconditioner> make_fop_low_rank(const FopSite& site, const Fop& options, int64_t rank);

}  // namespace gradus::optim
