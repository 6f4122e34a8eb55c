// How well the inputs of a model's layers are conditioned, as they are and as normalizations would make them.
#pragma once

#include <string>
#include <vector>

#include "layers/module.h"

namespace gradus {

/// The extended hidden matrix of a dense or convolution layer is [1, H] [rows, 1 + inputs]: a row per input (per window
/// of a convolution), a column of ones for the bias. The Hessian of the loss in a neuron's weights is [1, H]^T S [1, H]
/// with a diagonal S, so its condition number bounds how fast gradient descent can be (Lange et al. 2022; Ye 2024).
struct LayerConditioning {
  std::string layer;  ///< full name in the model
  int64_t rows = 0, columns = 0;
  double plain = 0;       ///< condition number of [1, H]
  double batch_norm = 0;  ///< with the input's channels standardized over the batch (and what Bnp does implicitly)
  double layer_norm = 0;  ///< with each example standardized over all its features
  double group_norm = 0;  ///< the same in groups of channels
};

struct ConditioningOptions {
  int64_t groups = 4;       ///< of group_norm; the largest divisor of the channels up to this
  int64_t max_rows = 4096;  ///< further rows are left out, evenly
};

/// The largest over the smallest singular value of [1, H] that is not zero (to 1e-7 of the largest), for H [rows,
/// inputs].
double condition_number(const Tensor& hidden);

/// One evaluation pass; a report for each Linear and Conv2d (without groups) in order of execution. Throws
/// ErrorKind::value for max_rows below 1.
std::vector<LayerConditioning> conditioning(Module& model, const Tensor& input,
                                            const ConditioningOptions& options = {});

}  // namespace gradus
