// What an optimizer is made of. Internal to optim: builder.cpp fills it, optimizer.cpp runs it, state.cpp saves it.
#pragma once

#include <map>

#include "optim/learner.h"
#include "optim/optimizer.h"

namespace gradus::optim {

/// Parameters that share hyperparameters.
struct OptimizerGroup {
  Settings base;  ///< before schedules
  std::map<std::string, Schedule, std::less<>> schedules;
  DecayMode decay_mode = DecayMode::coupled;

  /// Hyperparameters after so many completed steps.
  Settings now(int64_t steps) const;
};

/// One parameter and its stages.
struct OptimizerItem {
  Parameter parameter;
  size_t group = 0;
  bool decays = false;
  std::string rule_name;
  std::unique_ptr<Rule> rule;
  std::string preconditioner_name;
  std::unique_ptr<Learner> learner;  ///< null: not preconditioned

  void slots(Slots& slots) {
    slots.nest(rule_name, *rule);
    if (learner) slots.nest(preconditioner_name, *learner);
  }
};

/// Of the tensors and numbers listed.
int64_t bytes_of(const Slots& slots);

struct Optimizer::Impl {
  std::vector<OptimizerItem> items;  ///< in order of parameters
  std::vector<OptimizerGroup> groups;
  Clip clip;
  int64_t steps = 0;

  DecayMode decay_mode_of(const OptimizerItem& item) const { return groups[item.group].decay_mode; }
  void step(OptimizerItem& item, const Tensor& gradient, const Settings& settings, const Settings& hyper,
            double factor);
};

}  // namespace gradus::optim
