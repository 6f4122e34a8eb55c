// Update rules by name, for programs that let their users choose one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "optim/rule.h"

namespace gradus::optim {

struct RuleChoice {
  std::string name;
  std::optional<double> lr = std::nullopt;  ///< default_lr() where it is not given
  double momentum = 0.9;                    ///< of momentum and nesterov
  uint64_t seed = 0;                        ///< of adahessian's random signs
};

/// "sgd", "momentum", "nesterov", "adam", ...: what optim/rules has, and optim/contrib but for ScheduleFree, whose
/// models are tested at other weights than they train with. Momentum and nesterov are Sgd's forms, adahesscale-gn and
/// adahesscale-bl89 are AdaHesScale with other forms of the curvature.
std::vector<std::string> rule_names();

/// The rule of this name, with the defaults of its struct but for what was chosen. Throws ErrorKind::value listing the
/// names where there is none of this name, and for no learning rate where there is no default.
AnyRule make_rule(RuleChoice choice);

/// The learning rate that is its struct's default or, for adahesscale and rmsprop, Adam's; 0 for sgd, momentum and
/// nesterov, whose rate depends on the network.
double default_lr(const std::string& name);

}  // namespace gradus::optim
