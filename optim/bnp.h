// Batch-normalization preconditioning (Lange, Helfrich and Ye 2022, JMLR 23(72)): the gradients of a dense or
// convolution layer are conditioned by the statistics of the layer's input, as if the input were standardized, without
// a normalization in the network. It works for a batch of one.
#pragma once

#include "optim/predicate.h"

namespace gradus::optim {

/// For the weight W [out, in, ...] and the bias b of a layer, with running mean mu and variance of its input channels:
///
///   W'_oi = (G_oi - mu_i G_o) / (q v_i),  b'_o = G_o / q - sum over i (and taps) of W'_oi mu_i,
///   v_i = var_i + relative max(var) + absolute,  q = max(1, fan_in / rows) where `scaled`.
///
/// With q = 1 and v = var it is gradient descent on W standardized and the bias at the mean input: the test of the
/// identity. Rows are the inputs of a batch, in all its parts: its size, times the positions of a convolution. `var` is
/// the running mean of the square distance to the mean of all that was seen, which a batch of one has too; the paper's
/// is that of a batch's own variance. mu and var start as a batch normalization's, at 0 and 1.
///
/// It comes before all other stages, so it composes with every preconditioner, and with every rule that asks for no
/// curvature; a preconditioner multiplies what Bnp makes of a gradient and learns from the gradient itself, the loss's.
/// Layers show their inputs in training, though not under NoGrad: Linear and Conv2d do, one's own by
/// weight.show_input(x). A layer without a bias, or whose bias is frozen, is left alone, and so is a transposed
/// convolution, whose outputs see different taps. Zero padding makes it approximate at the border of an image.
struct Bnp {
  double momentum = 0.99;  ///< of the running statistics
  double relative = 1e-2;
  double absolute = 1e-4;
  bool scaled = true;
  Predicate where = every_parameter;  ///< of weights
};

}  // namespace gradus::optim
