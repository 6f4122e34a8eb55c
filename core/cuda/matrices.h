// The learning of preconditioners' small matrices, from correlations that may still be in parts.
#pragma once

#include <span>
#include <vector>

#include "core/kernels.h"

namespace gradus::cuda {

/// A correlation as the sum of parts [count, n, n] of float64, n at most 16; null where the correlation itself is
/// there.
struct Parts {
  const double* parts = nullptr;
  int64_t count = 0;
};

/// kernels::update_matrices(); one Parts for each matrix, whose correlation receives the sum. `scratch` receives the
/// memory that must stay until the work is done.
void update_matrices(std::span<const MatrixUpdate> matrices, std::span<const Parts> parts,
                     std::vector<Storage>& scratch);

}  // namespace gradus::cuda
