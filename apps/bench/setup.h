// The training step that several benchmarks measure.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/tensor.h"
#include "layers/module.h"
#include "optim/optimizer.h"

namespace CLI {
class App;
}

namespace gradus::apps::bench {

/// Adds --rule and --preconditioner.
void add_optimizer_flags(CLI::App& app, std::string& rule, std::string& preconditioner);

/// The optimizer with these names, weight decay off.
optim::Optimizer make_optimizer(const std::vector<Parameter>& parameters, const std::string& rule,
                                const std::string& preconditioner);

/// A model by name with one random batch and an optimizer with the given names, weight decay off.
class TrainingSubject {
 public:
  TrainingSubject(const std::string& model, int64_t batch, const std::string& rule, const std::string& preconditioner);
  /// Drops the gradients, forward, loss, backward.
  void gradients();
  void update() { optimizer_.step(); }
  void step() {
    gradients();
    update();
  }
  optim::Optimizer& optimizer() { return optimizer_; }
  const Module& model() const { return *model_; }

 private:
  std::unique_ptr<Module> model_;
  Tensor images_, labels_;
  optim::Optimizer optimizer_;
};

}  // namespace gradus::apps::bench
