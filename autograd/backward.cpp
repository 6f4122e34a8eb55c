// What walks back over the tape: backward(), grad() and the sweep of curvature.
#include "autograd/sweep.h"
#include "autograd/variable.h"
#include "autograd/walk.h"
#include "core/error.h"
#include "core/ops.h"

namespace gradus {

void Var::backward(const BackwardOptions& options) const {
  if (defined() && value_.numel() != 1)
    fail(ErrorKind::shape, "backward", "needs a single element (a loss), got ", shape(),
         ". Reduce it with sum() or mean(), or pass a seed of this shape");
  backward(Tensor::full(shape(), 1, dtype()), options);
}

void Var::backward(const Tensor& seed, const BackwardOptions& options) const {
  if (!defined()) fail(ErrorKind::value, "backward", "this variable is undefined. Was it moved from?");
  if (!requires_grad())
    fail(ErrorKind::value, "backward",
         "this variable depends on nothing that requires a gradient. Was it computed under NoGrad, from frozen "
         "parameters, or by grad() without .create_graph?");
  Walk walk(std::span(this, 1));
  walk.add(node_, Var(seed));
  walk.run(false, !options.retain_graph);
}

void check_inputs(const char* op, std::span<const Var> inputs) {
  for (size_t i = 0; i < inputs.size(); ++i)
    if (!inputs[i].requires_grad())
      fail(ErrorKind::value, op, "input ", i, " of ", inputs.size(), ", ",
           inputs[i].defined() ? text("of shape ", inputs[i].shape(), ",") : "which is undefined,",
           " does not require a gradient: if it is frozen, leave it out");
}

std::vector<Var> grad(std::span<const Var> outputs, const VarList& inputs, const GradOptions& options) {
  if (!options.seeds.empty() && options.seeds.size() != outputs.size())
    fail(ErrorKind::value, "grad", "one seed per output is needed: ", outputs.size(), " outputs, but ",
         options.seeds.size(), " seeds");
  check_inputs("grad", inputs);
  Walk walk(outputs);
  for (size_t i = 0; i < outputs.size(); ++i) {
    const Var& output = outputs[i];
    if (!output.requires_grad()) continue;
    if (options.seeds.empty() && output.value().numel() != 1)
      fail(ErrorKind::shape, "grad", "output ", i, " has shape ", output.shape(),
           ": give seeds, or reduce it to a single element");
    walk.add(output.node(),
             options.seeds.empty() ? Var(Tensor::full(output.shape(), 1, output.dtype())) : options.seeds[i]);
  }
  walk.keep(inputs);
  walk.run(options.create_graph, !options.retain_graph && !options.create_graph);
  std::vector<Var> results;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const bool used = walk.reached_through(inputs[i].node());
    if (!used && !options.allow_unused)
      fail(ErrorKind::value, "grad", "input ", i,
           " does not influence the outputs. Pass {.allow_unused = true} for an undefined gradient");
    results.push_back(used ? walk.result(inputs[i].node()) : Var());
  }
  return results;
}

std::vector<Var> grad(const Var& output, const VarList& inputs, const GradOptions& options) {
  return grad(std::span(&output, 1), inputs, options);
}

Var grad(const Var& output, const Var& input, const GradOptions& options) {
  return grad(std::span(&output, 1), std::span(&input, 1), options)[0];
}

std::vector<Var> sweep_curvature(const Var& loss, std::span<const Var> inputs, bool release,
                                 const PassCurvature& pass) {
  Walk walk(std::span(&loss, 1));
  walk.carry_curvature(pass);
  walk.add(loss.node(), Tensor::ones(loss.shape(), loss.dtype()));
  walk.add_curvature(loss.node(), Tensor::zeros(loss.shape(), loss.dtype()));
  if (!inputs.empty()) walk.keep(inputs);
  walk.run(false, release);
  std::vector<Var> results;
  for (const Var& input : inputs)
    results.push_back(walk.reached_through(input.node()) ? walk.curvature(input.node()) : Var());
  return results;
}

}  // namespace gradus
