// A multi-layer perceptron.
#pragma once

#include <vector>

#include "layers/activation.h"
#include "layers/module.h"

namespace gradus {

struct MlpOptions {
  std::vector<int64_t> hidden = {1000, 1000};
  Activation activation = Activation::relu;
  double dropout = 0;  ///< in [0, 1), after each hidden layer
};

/// [N, ...] of `in` features -> logits [N, out]. Initialized as TensorFlow does: Glorot uniform, zero bias. Children:
/// fc1, fc2, ...
class Mlp : public Module {
 public:
  Mlp(int64_t in, int64_t out, const MlpOptions& options = {});
  Var forward(const Var& x) override;
  std::string describe() const override { return "Mlp"; }

 private:
  std::vector<Module*> layers_, drops_;
  Activation activation_;
};

}  // namespace gradus
