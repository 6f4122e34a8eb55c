// Nonlinearities as layers, and as a choice that other layers and models take.
#pragma once

#include <string>

#include "layers/module.h"

namespace gradus {

enum class Activation { none, relu, leaky_relu, gelu, silu, softplus, tanh, sigmoid };

/// "relu"
const char* name(Activation activation);
/// The inverse of name(); throws ErrorKind::value listing the names.
Activation parse_activation(const std::string& name);
Var activate(Activation activation, const Var& x);

class ReLU : public Module {
 public:
  Var forward(const Var& x) override { return relu(x); }
  std::string describe() const override { return "ReLU"; }
};

class LeakyReLU : public Module {
 public:
  /// Throws ErrorKind::value where the slope is not finite.
  explicit LeakyReLU(double slope = 0.01);
  Var forward(const Var& x) override { return leaky_relu(x, slope_); }
  std::string describe() const override;

 private:
  double slope_;
};

/// The exact form, x times the normal distribution function.
class GELU : public Module {
 public:
  Var forward(const Var& x) override { return gelu(x); }
  std::string describe() const override { return "GELU"; }
};

/// x times its sigmoid, also called swish.
class SiLU : public Module {
 public:
  Var forward(const Var& x) override { return silu(x); }
  std::string describe() const override { return "SiLU"; }
};

class Softplus : public Module {
 public:
  Var forward(const Var& x) override { return softplus(x); }
  std::string describe() const override { return "Softplus"; }
};

class Tanh : public Module {
 public:
  Var forward(const Var& x) override { return tanh(x); }
  std::string describe() const override { return "Tanh"; }
};

class Sigmoid : public Module {
 public:
  Var forward(const Var& x) override { return sigmoid(x); }
  std::string describe() const override { return "Sigmoid"; }
};

}  // namespace gradus
