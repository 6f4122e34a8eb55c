// Convolution and pooling: geometry checks and channels-last outputs.
#include <limits>

#include "core/error.h"
#include "core/ops.h"
#include "core/ops_check.h"

namespace gradus {
namespace {

Tensor channels_last(const Shape& shape, DType dtype) { return Tensor::empty(shape, dtype, Layout::channels_last); }

/// Devices count these in 32 bits, and what is made of them here fits into 64.
void limited(const char* op, const char* what, int64_t value) {
  constexpr int64_t most = std::numeric_limits<int32_t>::max();
  if (value > most) fail(ErrorKind::value, op, what, " must be at most ", most, ", got ", value);
}

/// How many windows fit along one dimension.
int64_t windows(int64_t extent, int64_t before, int64_t after, int64_t window, int64_t stride) {
  return (extent + before + after - window) / stride + 1;
}

/// What a convolution asks of its operands before their channels are compared; `layout` is that of the weight.
void check_geometry(const char* op, const Shape& x, const Shape& w, const char* layout, const Conv2dSpec& spec) {
  if (x.rank() != 4) fail(ErrorKind::shape, op, "input needs 4 dimensions [N,C,H,W], got ", x);
  if (w.rank() != 4) fail(ErrorKind::shape, op, "weight needs 4 dimensions ", layout, ", got ", w);
  check::bytes(op, x, DType::bfloat16);
  for (int d = 1; d < 4; ++d) limited(op, "an extent of the weight", w[d]);
  for (int d = 0; d < 2; ++d) {
    if (spec.stride[d] < 1) fail(ErrorKind::value, op, "stride must be at least 1, got ", spec.stride[d]);
    limited(op, "stride", spec.stride[d]);
    limited(op, "dilation", spec.dilation[d]);
    if (spec.dilation[d] < 1) fail(ErrorKind::value, op, "dilation must be at least 1, got ", spec.dilation[d]);
    if (w[2 + d] < 1) fail(ErrorKind::shape, op, "the kernel of weight ", w, " is empty");
  }
  for (int64_t p : spec.padding) {
    if (p < 0) fail(ErrorKind::value, op, "padding must not be negative, got ", p);
    limited(op, "padding", p);
  }
  if (spec.groups < 1) fail(ErrorKind::value, op, "groups must be at least 1, got ", spec.groups);
  limited(op, "groups", spec.groups);
}

Shape conv_shape(const char* op, const Shape& x, const Shape& w, const Conv2dSpec& spec) {
  check_geometry(op, x, w, "[O,I/groups,kh,kw]", spec);
  if (w[0] % spec.groups != 0)
    fail(ErrorKind::shape, op, "the ", w[0], " output channels of weight ", w, " do not split into ", spec.groups,
         " groups");
  if (x[1] != w[1] * spec.groups)
    fail(ErrorKind::shape, op, "weight ", w, " expects ", w[1] * spec.groups, " input channels",
         spec.groups > 1 ? text(" in ", spec.groups, " groups") : "", ", but input ", x, " has ", x[1],
         ". Was the layer built as Conv2d(", x[1], ", ...)?");
  Shape y = {x[0], w[0], 0, 0};
  for (int d = 0; d < 2; ++d) {
    const int64_t window = spec.dilation[d] * (w[2 + d] - 1) + 1;
    const int64_t padded = x[2 + d] + spec.padding[d] + spec.padding[2 + d];
    if (padded < window)
      fail(ErrorKind::shape, op, "a window of ", window, " does not fit into the padded ",
           d == 0 ? "height " : "width ", padded, " of input ", x, "; enlarge the input or the padding");
    y[2 + d] = windows(x[2 + d], spec.padding[d], spec.padding[2 + d], window, spec.stride[d]);
  }
  return y;
}

Shape conv_transpose_shape(const char* op, const Shape& x, const Shape& w, const ConvTranspose2dSpec& spec) {
  check_geometry(op, x, w, "[I,O/groups,kh,kw]", spec.convolution());
  if (w[0] % spec.groups != 0)
    fail(ErrorKind::shape, op, "the ", w[0], " input channels of weight ", w, " do not split into ", spec.groups,
         " groups");
  if (x[1] != w[0])
    fail(ErrorKind::shape, op, "weight ", w, " expects ", w[0], " input channels, but input ", x, " has ", x[1],
         ". Was the layer built as ConvTranspose2d(", x[1], ", ...)?");
  Shape y = {x[0], w[1] * spec.groups, 0, 0};
  for (int d = 0; d < 2; ++d) {
    const char* side = d == 0 ? "height" : "width";
    if (spec.output_padding[d] < 0 || spec.output_padding[d] >= spec.stride[d])
      fail(ErrorKind::value, op, "output_padding must lie in [0, ", spec.stride[d], "), below the stride, got ",
           spec.output_padding[d]);
    if (x[2 + d] < 1) fail(ErrorKind::shape, op, "the input ", x, " has no ", side);
    limited(op, "an extent of the input", x[2 + d]);
    const int64_t window = spec.dilation[d] * (w[2 + d] - 1) + 1;
    const int64_t padding = spec.padding[d] + spec.padding[2 + d];
    y[2 + d] = (x[2 + d] - 1) * spec.stride[d] + window + spec.output_padding[d] - padding;
    if (y[2 + d] < 1)
      fail(ErrorKind::shape, op, "a padding of ", spec.padding[d], " and ", spec.padding[2 + d],
           " leaves nothing of the result's ", side, " ", y[2 + d] + padding, " for input ", x);
  }
  return y;
}

Shape pool_shape(const char* op, const Shape& x, const Pool2dSpec& spec) {
  if (x.rank() != 4) fail(ErrorKind::shape, op, "input needs 4 dimensions [N,C,H,W], got ", x);
  check::bytes(op, x, DType::bfloat16);
  Shape y = {x[0], x[1], 0, 0};
  for (int d = 0; d < 2; ++d) {
    if (spec.kernel[d] < 1) fail(ErrorKind::value, op, "kernel must be at least 1, got ", spec.kernel[d]);
    if (spec.stride[d] < 1) fail(ErrorKind::value, op, "stride must be at least 1, got ", spec.stride[d]);
    limited(op, "kernel", spec.kernel[d]);
    limited(op, "stride", spec.stride[d]);
    const int64_t before = spec.padding[d], after = spec.padding[2 + d];
    if (before < 0 || after < 0 || before >= spec.kernel[d] || after >= spec.kernel[d])
      fail(ErrorKind::value, op, "padding must lie in [0, ", spec.kernel[d],
           "), so that every window meets the input, got ", before, " and ", after);
    if (x[2 + d] < 1 || x[2 + d] + before + after < spec.kernel[d])
      fail(ErrorKind::shape, op, "a window of ", spec.kernel[d], " does not fit into the padded ",
           d == 0 ? "height " : "width ", x[2 + d] + before + after, " of input ", x);
    y[2 + d] = windows(x[2 + d], before, after, spec.kernel[d], spec.stride[d]);
  }
  return y;
}

/// The values are trusted to come from max_pool2d: reading all of them would cost as much as the pooling.
void pool_index(const char* op, const Tensor& index) {
  if (index.dtype() != DType::int64)
    fail(ErrorKind::dtype, op, "the index needs int64 as max_pool2d gives it, got ", index.dtype());
}

}  // namespace

// ---- Convolution ---------------------------------------------------------------------------------------------------

Shape conv2d_shape(const Shape& x, const Shape& w, const Conv2dSpec& spec) { return conv_shape("conv2d", x, w, spec); }

Tensor conv2d(const Tensor& x, const Tensor& w, const Tensor& bias, const Conv2dSpec& spec, bool relu) {
  check::activation("conv2d", x);
  check::weight("conv2d", w, x);
  const Shape shape = conv_shape("conv2d", x.shape(), w.shape(), spec);
  check::optional_vector("conv2d", "the bias", bias, w.shape()[0], x);
  Tensor y = channels_last(shape, x.dtype());
  if (y.numel() > 0) kernels::conv2d_forward(x, w, bias, relu, spec, y);
  return y;
}

Tensor conv2d_grad_input(const Tensor& gy, const Tensor& w, const Conv2dSpec& spec, const Shape& x) {
  check::activation("conv2d_grad_input", gy);
  check::weight("conv2d_grad_input", w, gy);
  check::shape("conv2d_grad_input", "the gradient", gy, conv_shape("conv2d_grad_input", x, w.shape(), spec));
  Tensor gx = channels_last(x, gy.dtype());
  if (gy.numel() == 0)
    kernels::fill(0, gx);
  else
    kernels::conv2d_grad_input(gy, w, spec, gx);
  return gx;
}

Tensor conv2d_grad_weight(const Tensor& gy, const Tensor& x, const Conv2dSpec& spec, const Shape& w) {
  check::activation("conv2d_grad_weight", gy);
  check::defined("conv2d_grad_weight", x);
  check::same_dtype("conv2d_grad_weight", gy, x);
  check::shape("conv2d_grad_weight", "the gradient", gy, conv_shape("conv2d_grad_weight", x.shape(), w, spec));
  Tensor gw = Tensor::empty(w, check::parameter_dtype(gy.dtype()));
  if (gy.numel() == 0)
    kernels::fill(0, gw);
  else
    kernels::conv2d_grad_weight(gy, x, spec, gw);
  return gw;
}

Tensor conv_transpose2d(const Tensor& x, const Tensor& w, const Tensor& bias, const ConvTranspose2dSpec& spec) {
  check::activation("conv_transpose2d", x);
  check::weight("conv_transpose2d", w, x);
  const Shape shape = conv_transpose_shape("conv_transpose2d", x.shape(), w.shape(), spec);
  check::optional_vector("conv_transpose2d", "the bias", bias, shape[1], x);
  const Tensor y = conv2d_grad_input(x, w, spec.convolution(), shape);
  return bias.defined() ? y + reshape(cast(bias, y.dtype()), {shape[1], 1, 1}) : y;
}

BiasReluGradients bias_relu_backward(const Tensor& gy, const Tensor& y) {
  check::activation("bias_relu_backward", gy);
  check::same_dtype("bias_relu_backward", gy, y);
  if (y.rank() != 4) fail(ErrorKind::shape, "bias_relu_backward", "y needs 4 dimensions [N,C,H,W], got ", y.shape());
  check::shape("bias_relu_backward", "the gradient", gy, y.shape());
  BiasReluGradients out = {channels_last(y.shape(), y.dtype()),
                           Tensor::empty({y.shape()[1]}, check::parameter_dtype(y.dtype()))};
  kernels::bias_relu_backward(gy, y, out.gz, out.gbias);
  return out;
}

namespace {

void check_gradients(const char* op, const Tensor& gy, const Tensor& y, const Tensor& x, const Shape& w,
                     const Conv2dSpec& spec) {
  check::defined(op, x);
  check::same_dtype(op, gy, x);
  check::shape(op, "the gradient", gy, conv_shape(op, x.shape(), w, spec));
  if (!y.defined()) return;
  check::same_dtype(op, gy, y);
  check::shape(op, "y", y, gy.shape());
}

/// Without the gradient of the input where w is undefined.
ConvGradients all_gradients(const Tensor& gy, const Tensor& y, const Tensor& x, const Tensor& w, const Shape& w_shape,
                            const Conv2dSpec& spec) {
  const DType parameters = check::parameter_dtype(gy.dtype());
  ConvGradients out = {w.defined() ? channels_last(x.shape(), gy.dtype()) : Tensor(),
                       Tensor::empty(w_shape, parameters),
                       y.defined() ? Tensor::empty({w_shape[0]}, parameters) : Tensor()};
  if (gy.numel() > 0) {
    kernels::conv2d_gradients(gy, y, x, w, spec, out.input, out.weight, out.bias);
    return out;
  }
  for (Tensor* gradient : {&out.input, &out.weight, &out.bias})
    if (gradient->defined()) kernels::fill(0, *gradient);
  return out;
}

}  // namespace

ConvGradients conv2d_gradients(const Tensor& gy, const Tensor& y, const Tensor& x, const Tensor& w,
                               const Conv2dSpec& spec) {
  check::activation("conv2d_gradients", gy);
  check::weight("conv2d_gradients", w, gy);
  check_gradients("conv2d_gradients", gy, y, x, w.shape(), spec);
  return all_gradients(gy, y, x, w, w.shape(), spec);
}

ConvGradients conv2d_parameter_gradients(const Tensor& gy, const Tensor& y, const Tensor& x, const Conv2dSpec& spec,
                                         const Shape& w) {
  check::activation("conv2d_parameter_gradients", gy);
  check_gradients("conv2d_parameter_gradients", gy, y, x, w, spec);
  return all_gradients(gy, y, x, {}, w, spec);
}

// ---- Pooling -------------------------------------------------------------------------------------------------------

MaxPooled max_pool2d(const Tensor& x, const Pool2dSpec& spec) {
  check::activation("max_pool2d", x);
  const Shape shape = pool_shape("max_pool2d", x.shape(), spec);
  MaxPooled out = {channels_last(shape, x.dtype()), channels_last(shape, DType::int64)};
  if (out.values.numel() > 0) kernels::max_pool2d_forward(x, spec, out.values, out.index);
  return out;
}

Tensor max_pool2d_scatter(const Tensor& gy, const Tensor& index, const Shape& x) {
  check::activation("max_pool2d_scatter", gy);
  check::shape("max_pool2d_scatter", "the index", index, gy.shape());
  pool_index("max_pool2d_scatter", index);
  if (gy.rank() != 4 || x.rank() != 4 || gy.shape()[0] != x[0] || gy.shape()[1] != x[1])
    fail(ErrorKind::shape, "max_pool2d_scatter", "gradient ", gy.shape(), " and input ", x,
         " need the same N and C in [N,C,H,W]");
  Tensor gx = channels_last(x, gy.dtype());
  kernels::max_pool2d_scatter(gy, index, gx);
  return gx;
}

Tensor max_pool2d_gather(const Tensor& x, const Tensor& index) {
  check::activation("max_pool2d_gather", x);
  check::defined("max_pool2d_gather", index, "the index");
  if (x.rank() != 4 || index.rank() != 4 || index.shape()[0] != x.shape()[0] || index.shape()[1] != x.shape()[1])
    fail(ErrorKind::shape, "max_pool2d_gather", "input ", x.shape(), " and index ", index.shape(),
         " need the same N and C in [N,C,H,W]");
  pool_index("max_pool2d_gather", index);
  Tensor y = channels_last(index.shape(), x.dtype());
  kernels::max_pool2d_gather(x, index, y);
  return y;
}

Tensor avg_pool2d(const Tensor& x, const Pool2dSpec& spec) {
  check::activation("avg_pool2d", x);
  Tensor y = channels_last(pool_shape("avg_pool2d", x.shape(), spec), x.dtype());
  if (y.numel() > 0) kernels::avg_pool2d_forward(x, spec, y);
  return y;
}

Tensor avg_pool2d_backward(const Tensor& gy, const Pool2dSpec& spec, const Shape& x) {
  check::activation("avg_pool2d_backward", gy);
  check::shape("avg_pool2d_backward", "the gradient", gy, pool_shape("avg_pool2d_backward", x, spec));
  Tensor gx = channels_last(x, gy.dtype());
  if (gx.numel() > 0) kernels::avg_pool2d_backward(gy, spec, gx);
  return gx;
}

}  // namespace gradus
