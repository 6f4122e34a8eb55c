// The diagonal of the Hessian of a loss, estimated in one backward sweep that carries curvature beside the gradient
// (HesScale: Elsayed et al. 2024, arXiv 2406.03276; Becker and LeCun 1989), and the estimators that it is compared
// with.
//
//   backward_with_curvature(loss, {.method = CurvatureMethod::hesscale_gn});
//   weight.grad(), weight.curvature()
//
// The sweep drops what couples two elements: where a variable is used twice (a residual branch, x * x) each use counts
// alone, and batch, layer and group norm count their statistics as constants. It is exact for the outputs, the weight
// and the bias of a dense layer that ends in a loss of this library, not for the layer's inputs.
#pragma once

#include <vector>

#include "autograd/variable.h"
#include "core/random.h"

namespace gradus {

enum class CurvatureMethod {
  hesscale,     ///< as Becker and LeCun, but with the exact diagonal at the loss: softmax and cross-entropy as one
  hesscale_gn,  ///< Gauss-Newton: without the second derivatives of functions other than losses
  bl89,         ///< Becker and LeCun 1989: softmax as a function of each element
  hutchinson    ///< v o (H v) with random signs v, by differentiating the gradient: no sweep, unbiased, noisy
};
/// "hesscale", "hesscale-gn", "bl89", "hutchinson".
const char* name(CurvatureMethod method);

struct CurvatureOptions {
  CurvatureMethod method = CurvatureMethod::hesscale;
  /// For an operation without a rule the sweep estimates (J^2)^T h, the Gauss-Newton part, from its gradient and random
  /// signs: exact where each input reaches one output. Otherwise it is an error that names the operation.
  bool estimate_missing = false;
  RandomKey key = {};         ///< of the random signs
  int64_t samples = 1;        ///< of hutchinson: averaged
  bool retain_graph = false;  ///< as in Var::BackwardOptions
  friend bool operator==(const CurvatureOptions&, const CurvatureOptions&) = default;
};

/// backward() that also adds the estimated d^2(loss)/d(leaf)^2 to every reachable leaf's curvature(). The loss needs a
/// single element.
void backward_with_curvature(const Var& loss, const CurvatureOptions& options = {});

/// The estimated diagonal with respect to each input, shaped like it. Inputs may be any variables of the graph; leaves'
/// grad() and curvature() are untouched. Throws for an input that does not influence the loss.
std::vector<Tensor> curvature(const Var& loss, const VarList& inputs, const CurvatureOptions& options = {});

/// The exact diagonal: one differentiation of the gradient per element of the inputs. For small networks.
std::vector<Tensor> exact_curvature(const Var& loss, const VarList& inputs);

/// What the network's outputs are to the loss.
enum class Likelihood {
  softmax,  ///< logits [N, K] of cross_entropy()
  gaussian  ///< predictions of mse_loss(), of any shape
};
/// The diagonal of the generalized Gauss-Newton matrix of the mean loss, by Monte Carlo (Dangel et al. 2020, section
/// 2.3): the mean over samples of squared gradients for outputs drawn from the model. Unbiased; the loss's targets do
/// not matter. The graph is retained.
std::vector<Tensor> monte_carlo_curvature(const Var& outputs, Likelihood likelihood, const VarList& inputs,
                                          const RandomKey& key, int64_t samples = 1);

}  // namespace gradus
