// One layer under Bnp: the running statistics of its input, and what they make of its gradients. Internal to optim.
#pragma once

#include <memory>

#include "autograd/parameter.h"
#include "optim/bnp.h"
#include "optim/slots.h"

namespace gradus::optim {

class BnpLayer final : public InputObserver {
 public:
  BnpLayer(const Parameter& weight, const Bnp& options);

  void see(const Tensor& input) override;
  /// Whether see() counts: not where a step looks at a second point.
  void observes(bool observes) { observes_ = observes; }
  /// The next input is the first of a batch, which may come in parts.
  void begin_batch() { begins_ = true; }
  /// Replaces both gradients by new tensors, and ends the batch. Throws ErrorKind::value where no input was seen.
  void condition(Tensor& weight, Tensor& bias);
  void slots(Slots& slots);

 private:
  ParamInfo info_;
  Bnp options_;
  Tensor mean_, variance_;  ///< [channels], float64
  double weight_ = 0;       ///< of all inputs seen in mean_; the rest is the weight of the 0 that it began with
  double rows_ = 0;         ///< of the last batch; 0: none was seen
  bool begins_ = true;      ///< the next input is of another batch
  bool observes_ = true;
};

}  // namespace gradus::optim
