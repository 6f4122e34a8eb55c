// The walk that carries curvature beside the gradient, for curvature.cpp. Not public.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "autograd/variable.h"

namespace gradus {

/// Fills the gradients gx and the curvatures hx of a node's inputs from those of its output.
using PassCurvature =
    std::function<void(Node& node, const Var& gy, std::span<Var> gx, const Var& hy, std::span<Var> hx)>;

/// Throws unless each of them requires a gradient, naming the first that does not.
void check_inputs(const char* op, std::span<const Var> inputs);

/// Walks back from `loss`, of a single element, whose curvature is 0. Without inputs, gradients and curvatures go to
/// the leaves; otherwise the curvatures of the inputs are the result, undefined where none came.
std::vector<Var> sweep_curvature(const Var& loss, std::span<const Var> inputs, bool release, const PassCurvature& pass);

}  // namespace gradus
