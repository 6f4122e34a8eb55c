// The training step that several benchmarks measure.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "apps/common/captured_step.h"

namespace gradus::apps {
class CommandLine;
}

namespace gradus::apps::bench {

/// An optimizer by names, weight decay off.
struct OptimizerChoice {
  std::string rule = "momentum", preconditioner = "none", acts_on = "gradient";

  /// Adds --rule, --preconditioner and --acts-on.
  void add_to(CommandLine& line);
  optim::Optimizer make(const std::vector<Parameter>& parameters) const;
};
/// Adds --acts-on.
void add_acts_on(CommandLine& line, std::string& acts_on);

struct SubjectOptions {
  std::string model = "all_cnn";  ///< by name
  int64_t batch = 128;
  int64_t side = 0, classes = 0;  ///< of the images; 0: 224 and 1000 for ResNets, 32 and 10 for others
  OptimizerChoice optimizer = {};
  DType dtype = DType::float32;  ///< Autocast's
};

/// A model with one random batch and an optimizer, weight decay off.
class TrainingSubject {
 public:
  explicit TrainingSubject(const SubjectOptions& options);
  /// Drops the gradients, forward, loss, backward; captured from the third time on where the device can.
  void gradients();
  void update() { optimizer_.step(); }
  void step() {
    gradients();
    update();
  }
  optim::Optimizer& optimizer() { return optimizer_; }
  const Module& model() const { return *model_; }
  /// With what stood for 0 filled in.
  const SubjectOptions& options() const { return options_; }

 private:
  SubjectOptions options_;
  std::unique_ptr<Module> model_;
  Batch batch_;
  optim::Optimizer optimizer_;
  CapturedStep captured_;
  Score score_;
  int64_t steps_ = 0;
};

}  // namespace gradus::apps::bench
