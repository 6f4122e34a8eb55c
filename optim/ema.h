// Exponential moving average of a model's state: weights that are often better to evaluate and to deploy than the last
// ones.
//
//   optim::Ema ema(model.state(), {.decay = 0.999});
//   ...
//   optimizer.step();
//   ema.update();
//   ...
//   const optim::EmaScope averaged(ema);  // the model computes with the averages while this lives
#pragma once

#include "core/state_dict.h"

namespace gradus::optim {

struct EmaOptions {
  double decay = 0.999;  ///< in [0, 1)
  bool warm_up = true;   ///< begin with a smaller decay; false for a target network, whose lag is to be the same
  bool equal = false;    ///< the mean of the values at all updates instead (SWA: Izmailov et al. 2018)
};

class Ema {
 public:
  /// `live` shares memory with the model, as Module::state() does; the averages begin as its values. Throws
  /// ErrorKind::value for a decay outside [0, 1).
  explicit Ema(StateDict live, EmaOptions options = {});

  /// After a step: average = d average + (1 - d) value, with d = decay or, warming up, min(decay, (1 + n) / (10 + n))
  /// in update n = 0, 1, ..., so that the beginning is soon forgotten (as tf.train.ExponentialMovingAverage), or n / (n
  /// + 1) for equal weights. Tensors of integers are copied. Throws ErrorKind::value while an EmaScope lives.
  void update();
  /// Completed updates.
  int64_t updates() const { return updates_; }
  /// By the names of `live`.
  const StateDict& averages() const { return averages_; }

  /// The averages and "ema/updates"; shares memory with them.
  StateDict state() const;
  /// Copies values in. Throws one error that lists every missing, unexpected and mis-shaped name; nothing is changed
  /// then.
  void load(const StateDict& state);

 private:
  friend class EmaScope;
  void swap();

  StateDict live_, averages_;
  EmaOptions options_;
  int64_t updates_ = 0;
  bool lent_ = false;  ///< to the model, by an EmaScope
};

/// While one lives, the model holds the averages, and `ema` the model's own values: neither train nor save then.
class EmaScope {
 public:
  /// Throws ErrorKind::value where one lives already.
  explicit EmaScope(Ema& ema);
  ~EmaScope() { ema_.swap(); }
  EmaScope(const EmaScope&) = delete;
  EmaScope& operator=(const EmaScope&) = delete;

 private:
  Ema& ema_;
};

}  // namespace gradus::optim
