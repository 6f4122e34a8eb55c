// The 2-D convolution layer.
#include "layers/conv.h"

#include <cmath>

#include "core/check_defined.h"
#include "core/error.h"
#include "layers/init.h"

namespace gradus {

Conv2d::Conv2d(int64_t in, int64_t out, const Conv2dOptions& options) : in_(in), out_(out), options_(options) {
  const auto [kh, kw] = options.kernel;
  const auto positive = [](Extent2d e) { return e.height > 0 && e.width > 0; };
  if (in < 1 || out < 1 || !positive(options.kernel) || !positive(options.stride) || !positive(options.dilation))
    fail(ErrorKind::value, "Conv2d", "channels, kernel, stride and dilation must be positive, got ", in, ", ", out,
         ", ", options.kernel, ", ", options.stride, " and ", options.dilation);
  if (options.groups < 1 || in % options.groups != 0 || out % options.groups != 0)
    fail(ErrorKind::value, "Conv2d", options.groups, " groups do not divide ", in, " input and ", out,
         " output channels");
  const int64_t in_per_group = in / options.groups;
  const double bound = 1 / std::sqrt(static_cast<double>(in_per_group * kh * kw));
  const auto make = [&, kh = kh, kw = kw](const char* name, const Shape& shape, ParamRole role) {
    Parameter p = parameter(name, Tensor::empty(shape),
                            {.layer = LayerKind::conv,
                             .role = role,
                             .out = out,
                             .in = in_per_group,
                             .kernel = {kh, kw},
                             .groups = options.groups});
    init::uniform(p.value(), -bound, bound);
    return p;
  };
  weight_ = make("weight", {out, in_per_group, kh, kw}, ParamRole::weight);
  if (options.bias) bias_ = make("bias", {out}, ParamRole::bias);
}

Var Conv2d::forward(const Var& x) {
  check::defined("conv2d", x.value());
  if (x.rank() != 4 || x.size(1) != in_)
    fail(ErrorKind::shape, "conv2d", "the layer takes [N,", in_, ",H,W], got ", x.shape(), ". Was it built as Conv2d(",
         x.rank() == 4 ? text(x.size(1)) : "channels", ", ...)?");
  const Conv2dOptions& o = options_;
  Conv2dSpec spec{.stride = {o.stride.height, o.stride.width},
                  .dilation = {o.dilation.height, o.dilation.width},
                  .groups = o.groups};
  o.padding.resolve({x.size(2), x.size(3)}, o.kernel, o.stride, o.dilation, spec.padding);
  if (training()) weight_.show_input(x);
  const bool fused = o.activation == Activation::relu;
  const Var y = conv2d(x, weight_, bias_, spec, fused);
  return fused ? y : activate(o.activation, y);
}

std::string Conv2d::describe() const {
  const Conv2dOptions defaults, &o = options_;
  std::string s = text("Conv2d(", in_, ", ", out_, ", kernel ", o.kernel);
  if (o.stride != defaults.stride) s += text(", stride ", o.stride);
  if (o.padding != defaults.padding) s += text(", padding ", o.padding);
  if (o.dilation != defaults.dilation) s += text(", dilation ", o.dilation);
  if (o.groups != 1) s += text(", groups ", o.groups);
  if (!o.bias) s += ", no bias";
  if (o.activation != Activation::none) s += text(", ", name(o.activation));
  return s + ")";
}

int64_t Conv2d::macs(const Shape&, const Shape& output) const {
  return numel(output) * (in_ / options_.groups) * options_.kernel.height * options_.kernel.width;
}

}  // namespace gradus
