// The flags that every training program shares: the optimizer, the length of the training, and where results go.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "apps/common/device_flags.h"
#include "apps/common/record.h"
#include "optim/optimizer.h"

namespace gradus::apps {

class CommandLine;

/// Whether the learning rates of --schedule depend on the number of epochs, so that a shorter training is not the
/// beginning of a longer one.
bool depends_on_epochs(const std::string& schedule);

/// The values of --preconditioner.
std::vector<std::string> preconditioner_names();

/// Initial values are the defaults of --help; a program may set others before add_to(). What depends on the rule stays
/// empty until resolve().
struct TrainingFlags {
  std::string rule = "momentum", preconditioner = "fop", form = "auto", acts_on = "gradient", hyper_rule = "adam";
  std::string hyper_normalization = "none";
  int64_t rank = 0;
  double hyper_lr = 1e-4, momentum = 0.9;
  double init_gain = optim::Fop().init_gain;  ///< not a flag
  std::vector<std::string> without_matrix;    ///< not a flag: layers whose weights fop and fop-norm leave alone
  std::optional<double> lr, weight_decay;
  double usual_lr = 0.05, usual_decay = 1e-3;  ///< not flags: defaults with sgd and momentum, and of the decay
  std::optional<double> step_delta;            ///< of optim::StepScaling; 0: none
  std::optional<std::string> decay_mode;
  std::string schedule = "step", lr_drop = "none";
  double warmup = 0;                     ///< epochs
  double clip_norm = 0, clip_value = 0;  ///< 0: none
  double label_smoothing = 0;
  double ema = 0;  ///< decay of the moving average of the weights; 0: none
  int64_t epochs = 1, batch = 128;
  int64_t accumulate = 1;  ///< parts that a batch is computed in
  uint64_t seed = 0;
  int64_t threads = 0;  ///< 0 stands for all cores until resolve()
  int64_t workers = 1;
  std::string conv = "auto";     ///< algorithm of convolutions, as parse_conv_algorithm reads it
  std::string amp = "none";      ///< mixed precision, as parse_amp reads it
  std::string weights, out;      ///< none where empty
  std::string resume;            ///< folder of the run that goes on; the other flags are that run's then
  int64_t checkpoint_every = 0;  ///< steps; 0: an epoch
  std::string on_nonfinite = "stop";
  bool json = false;
  bool tensorboard = false;
  std::string export_onnx;  ///< file; none where empty
  DeviceFlags device;

  void add_to(CommandLine& line);
  /// Fills in what depends on other flags and sets the number of threads and the algorithm of convolutions. Throws
  /// UsageError where flags contradict each other.
  void resolve();
  /// Which of the given flags have no effect, one sentence each. Call after resolve().
  std::vector<std::string> without_effect(const CommandLine& line) const;
  /// What decides the results, for config.json, and which other files a resumed run is to leave: neither where results
  /// go nor how they are printed.
  Record record() const;

  /// Call after resolve().
  optim::Optimizer make_optimizer(const std::vector<Parameter>& parameters, int64_t steps_per_epoch) const {
    return make_builder(parameters, steps_per_epoch).build();
  }
  /// For programs that add to it.
  optim::Builder make_builder(const std::vector<Parameter>& parameters, int64_t steps_per_epoch) const;
  optim::AnyPreconditioner make_preconditioner() const;
  /// Of the learning rate, by completed steps.
  optim::Schedule make_schedule(int64_t steps_per_epoch) const;

 private:
  void add_optimizer(CommandLine& line);
  void add_preconditioner(CommandLine& line);
  void add_training(CommandLine& line);
  void add_results(CommandLine& line);
  optim::AnyRule make_rule() const;
};

}  // namespace gradus::apps
