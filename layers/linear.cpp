// The fully connected layer.
#include "layers/linear.h"

#include <cmath>

#include "core/check_defined.h"
#include "core/error.h"
#include "layers/init.h"

namespace gradus {

Linear::Linear(int64_t in, int64_t out, const LinearOptions& options) : in_(in), out_(out) {
  if (in < 1 || out < 1) fail(ErrorKind::value, "Linear", "sizes must be positive, got Linear(", in, ", ", out, ")");
  const double bound = 1 / std::sqrt(static_cast<double>(in));
  const auto make = [&](const char* name, const Shape& shape, ParamRole role) {
    Parameter p =
        parameter(name, Tensor::empty(shape), {.layer = LayerKind::linear, .role = role, .out = out, .in = in});
    init::uniform(p.value(), -bound, bound);
    return p;
  };
  weight_ = make("weight", {out, in}, ParamRole::weight);
  if (options.bias) bias_ = make("bias", {out}, ParamRole::bias);
}

Var Linear::forward(const Var& x) {
  check::defined("linear", x.value());
  if (x.rank() == 0 || x.shape().back() != in_)
    fail(ErrorKind::shape, "linear", "the layer takes ", in_, " features in the last dimension, got ", x.shape(),
         x.rank() == 4 ? ". Is a Flatten missing?" : "");
  if (training()) weight_.show_input(x);
  return linear(x, weight_, bias_);
}

std::string Linear::describe() const { return text("Linear(", in_, ", ", out_, bias_.defined() ? ")" : ", no bias)"); }

int64_t Linear::macs(const Shape&, const Shape& output) const { return numel(output) * in_; }

}  // namespace gradus
