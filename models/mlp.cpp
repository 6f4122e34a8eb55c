// A multi-layer perceptron.
#include "models/mlp.h"

#include "core/error.h"
#include "core/ranges.h"
#include "layers/dropout.h"
#include "layers/init.h"
#include "layers/linear.h"

namespace gradus {

Mlp::Mlp(int64_t in, int64_t out, const MlpOptions& options) : activation_(options.activation) {
  if (!is_fraction(options.dropout)) fail(ErrorKind::value, "Mlp", "dropout must be in [0, 1), got ", options.dropout);
  const auto add = [&](int64_t from, int64_t to) {
    layers_.push_back(&child("fc" + std::to_string(layers_.size() + 1), Linear(from, to)));
  };
  int64_t width = in;
  for (int64_t hidden : options.hidden) {
    add(width, hidden);
    if (options.dropout > 0)
      drops_.push_back(&child("drop" + std::to_string(layers_.size()), Dropout(options.dropout)));
    width = hidden;
  }
  add(width, out);
  init::initialize(*this, init::Scheme::xavier_uniform);
}

Var Mlp::forward(const Var& x) {
  Var y = flatten(x, 1);
  for (size_t i = 0; i + 1 < layers_.size(); ++i) {
    y = activate(activation_, (*layers_[i])(y));
    if (!drops_.empty()) y = (*drops_[i])(y);
  }
  return (*layers_.back())(y);
}

}  // namespace gradus
