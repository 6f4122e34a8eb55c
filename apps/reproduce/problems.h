// Small smooth problems with known constants, on which the paper's theorems can be checked to the last digit.
#pragma once

#include <string>
#include <vector>

#include "autograd/ops.h"
#include "optim/optimizer.h"

namespace gradus::reproduce {

/// f of a row vector [1, n], float64.
struct Problem {
  std::string name;
  std::vector<double> start;
  double smoothness;  ///< L: the gradient is L-Lipschitz
  double pl;      ///< mu of the Polyak-Lojasiewicz inequality |grad f|^2 >= 2 mu (f - lowest); 0 where there is none
  double lowest;  ///< f*
  std::vector<double> solution;
  Var (*value)(const Var& x);
};

/// f = x^2 / 2, L = mu = 1: where theorem 2 as it is printed can be refuted by hand.
Problem half_square();
/// A quadratic of four variables with curvatures 0.1, 0.3, 0.6 and 1 along rotated axes.
Problem rotated_quadratic();
/// x^2 + 3 sin^2 x: not convex, but PL with mu = 1/32 and L = 8 (Karimi, Nutini and Schmidt 2016).
Problem not_convex();
/// |A x - b|^2 / 2 with two equations of three unknowns: convex and PL, but with a line of solutions.
Problem underdetermined();
/// Mean of log(1 + exp(-y a x)) over four points that no line separates: convex, L = |A|^2 / 16.
Problem logistic();
/// sum log cosh x: convex, L = 1, flat far out.
Problem log_cosh();

/// The variables of a problem as the weight of a linear layer: FOP then learns an n x n matrix.
Parameter start_of(const Problem& problem);
/// f now, after leaving its gradient in `theta`.
double evaluate(const Problem& problem, const Parameter& theta);

}  // namespace gradus::reproduce
