// Names of the activations, and their dispatch.
#include "layers/activation.h"

#include <cmath>

#include "core/error.h"
#include "core/joined.h"

namespace gradus {
namespace {

constexpr Activation all_activations[] = {Activation::none, Activation::relu,   Activation::leaky_relu,
                                          Activation::gelu, Activation::silu,   Activation::softplus,
                                          Activation::tanh, Activation::sigmoid};

}  // namespace

const char* name(Activation activation) {
  switch (activation) {
    case Activation::none: return "none";
    case Activation::relu: return "relu";
    case Activation::leaky_relu: return "leaky_relu";
    case Activation::gelu: return "gelu";
    case Activation::silu: return "silu";
    case Activation::softplus: return "softplus";
    case Activation::tanh: return "tanh";
    case Activation::sigmoid: return "sigmoid";
  }
  return "?";
}

Activation parse_activation(const std::string& wanted) {
  for (Activation activation : all_activations)
    if (wanted == name(activation)) return activation;
  fail(ErrorKind::value, "activation", "no activation is named \"", wanted, "\"; there are ",
       joined(all_activations, [](Activation activation) { return name(activation); }));
}

Var activate(Activation activation, const Var& x) {
  switch (activation) {
    case Activation::none: return x;
    case Activation::relu: return relu(x);
    case Activation::leaky_relu: return leaky_relu(x);
    case Activation::gelu: return gelu(x);
    case Activation::silu: return silu(x);
    case Activation::softplus: return softplus(x);
    case Activation::tanh: return tanh(x);
    case Activation::sigmoid: return sigmoid(x);
  }
  return x;
}

LeakyReLU::LeakyReLU(double slope) : slope_(slope) {
  if (!std::isfinite(slope)) fail(ErrorKind::value, "LeakyReLU", "slope must be finite, got ", slope);
}

std::string LeakyReLU::describe() const { return text("LeakyReLU(", slope_, ")"); }

}  // namespace gradus
