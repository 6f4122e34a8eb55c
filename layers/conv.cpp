// The 2-D convolution layers: what both check, say and begin with, and what each computes.
#include "layers/conv.h"

#include <cmath>

#include "core/check_defined.h"
#include "core/error.h"
#include "layers/init.h"

namespace gradus {
namespace {

template <class Options>
void check_options(const char* name, int64_t in, int64_t out, const Options& o) {
  const auto positive = [](Extent2d e) { return e.height > 0 && e.width > 0; };
  if (in < 1 || out < 1 || !positive(o.kernel) || !positive(o.stride) || !positive(o.dilation))
    fail(ErrorKind::value, name, "channels, kernel, stride and dilation must be positive, got ", in, ", ", out, ", ",
         o.kernel, ", ", o.stride, " and ", o.dilation);
  if (o.groups < 1 || in % o.groups != 0 || out % o.groups != 0)
    fail(ErrorKind::value, name, o.groups, " groups do not divide ", in, " input and ", out, " output channels");
}

void check_input(const char* op, const char* layer, const Var& x, int64_t in) {
  check::defined(op, x.value());
  if (x.rank() == 4 && x.size(1) == in) return;
  std::string hint;
  if (x.rank() == 3 && x.size(0) == in)
    hint = ". A single image is a batch of one: unsqueeze(x, 0)";
  else if (x.rank() == 4 && x.size(3) == in)
    hint = ". Channels come second, whatever the order in memory: permute(x, {0, 3, 1, 2})";
  else if (x.rank() == 4)
    hint = text(". Was it built as ", layer, "(", x.size(1), ", ...)?");
  fail(ErrorKind::shape, op, "the layer takes [N,", in, ",H,W], got ", x.shape(), hint);
}

template <class Options>
ParamInfo info(LayerKind layer, ParamRole role, int64_t in, int64_t out, const Options& o) {
  return {.layer = layer,
          .role = role,
          .out = out,
          .in = in / o.groups,
          .kernel = {o.kernel.height, o.kernel.width},
          .groups = o.groups};
}

/// PyTorch's bound for weight and bias, which counts the second extent of the weight as inputs.
Tensor initialized(const Shape& shape, const Shape& weight) {
  const Tensor x = Tensor::empty(shape);
  const double bound = 1 / std::sqrt(static_cast<double>(init::fans(weight).in));
  init::uniform(x, -bound, bound);
  return x;
}

/// What differs from the defaults; `output_padding` stands after padding, or is empty.
template <class Options>
std::string described(const char* name, int64_t in, int64_t out, const Options& o, const std::string& output_padding) {
  const Options defaults;
  std::string s = text(name, "(", in, ", ", out, ", kernel ", o.kernel);
  if (o.stride != defaults.stride) s += text(", stride ", o.stride);
  if (o.padding != defaults.padding) s += text(", padding ", o.padding);
  s += output_padding;
  if (o.dilation != defaults.dilation) s += text(", dilation ", o.dilation);
  if (o.groups != 1) s += text(", groups ", o.groups);
  if (!o.bias) s += ", no bias";
  if (o.activation != Activation::none) s += text(", ", gradus::name(o.activation));
  return s + ")";
}

}  // namespace

Conv2d::Conv2d(int64_t in, int64_t out, const Conv2dOptions& options) : in_(in), out_(out), options_(options) {
  const Conv2dOptions& o = options_;
  check_options("Conv2d", in, out, o);
  const Shape shape = {out, in / o.groups, o.kernel.height, o.kernel.width};
  weight_ = parameter("weight", initialized(shape, shape), info(LayerKind::conv, ParamRole::weight, in, out, o));
  if (o.bias) bias_ = parameter("bias", initialized({out}, shape), info(LayerKind::conv, ParamRole::bias, in, out, o));
}

Var Conv2d::forward(const Var& x) {
  check_input("conv2d", "Conv2d", x, in_);
  const Conv2dOptions& o = options_;
  const Conv2dSpec spec{.stride = o.stride,
                        .padding = o.padding.resolve({x.size(2), x.size(3)}, o.kernel, o.stride, o.dilation),
                        .dilation = o.dilation,
                        .groups = o.groups};
  if (training()) weight_.show_input(x);
  const bool fused = o.activation == Activation::relu;
  const Var y = conv2d(x, weight_, bias_, spec, fused);
  return fused ? y : activate(o.activation, y);
}

std::string Conv2d::describe() const { return described("Conv2d", in_, out_, options_, ""); }

int64_t Conv2d::macs(const Shape&, const Shape& output) const {
  return numel(output) * (in_ / options_.groups) * options_.kernel.height * options_.kernel.width;
}

ConvTranspose2d::ConvTranspose2d(int64_t in, int64_t out, const ConvTranspose2dOptions& options)
    : in_(in), out_(out), options_(options) {
  const ConvTranspose2dOptions& o = options_;
  check_options("ConvTranspose2d", in, out, o);
  if (o.padding.is_same())
    fail(ErrorKind::value, "ConvTranspose2d", "Padding::same has no meaning here; give the padding in numbers");
  if (o.output_padding.height < 0 || o.output_padding.width < 0 || o.output_padding.height >= o.stride.height ||
      o.output_padding.width >= o.stride.width)
    fail(ErrorKind::value, "ConvTranspose2d", "output_padding must be at least 0 and less than the stride ", o.stride,
         ", got ", o.output_padding);
  const Shape shape = {in, out / o.groups, o.kernel.height, o.kernel.width};
  const LayerKind kind = LayerKind::conv_transpose;
  weight_ = parameter("weight", initialized(shape, shape), info(kind, ParamRole::weight, in, out, o));
  if (o.bias) bias_ = parameter("bias", initialized({out}, shape), info(kind, ParamRole::bias, in, out, o));
}

Var ConvTranspose2d::forward(const Var& x) {
  check_input("conv_transpose2d", "ConvTranspose2d", x, in_);
  const ConvTranspose2dOptions& o = options_;
  const ConvTranspose2dSpec spec{.stride = o.stride,
                                 .padding = o.padding.resolve({x.size(2), x.size(3)}, o.kernel, o.stride, o.dilation),
                                 .output_padding = o.output_padding,
                                 .dilation = o.dilation,
                                 .groups = o.groups};
  if (training()) weight_.show_input(x);
  return activate(o.activation, conv_transpose2d(x, weight_, bias_, spec));
}

std::string ConvTranspose2d::describe() const {
  const Extent2d more = options_.output_padding;
  return described("ConvTranspose2d", in_, out_, options_, more == Extent2d(0) ? "" : text(", output_padding ", more));
}

int64_t ConvTranspose2d::macs(const Shape& input, const Shape&) const {
  return numel(input) * (out_ / options_.groups) * options_.kernel.height * options_.kernel.width;
}

}  // namespace gradus
