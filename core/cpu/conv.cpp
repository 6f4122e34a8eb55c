// Convolution on the CPU: the choice of algorithm, and operands in the layouts that it takes.
#include "core/cpu/direct_conv.h"
#include "core/cpu/layout.h"
#include "core/kernels.h"

namespace gradus::kernels {

using cpu::as_layout;
using cpu::write_as_layout;

void conv2d_forward(const Tensor& x, const Tensor& w, const Tensor& bias, bool relu, const Conv2dSpec& spec,
                    Tensor& y) {
  if (y.numel() == 0) return;
  // An empty sum (no input channels) is no convolution for oneDNN.
  if (y.dtype() != DType::float32 || w.numel() == 0) return ref::conv2d_forward(x, w, bias, relu, spec, y);
  const Tensor input = as_layout(x, Layout::channels_last), weight = as_layout(w, Layout::contiguous);
  const Tensor shift = as_layout(bias, Layout::contiguous);
  write_as_layout(y, Layout::channels_last,
                  [&](Tensor& out) { cpu::direct_conv_forward(input, weight, shift, relu, spec, out); });
}

void conv2d_grad_input(const Tensor& gy, const Tensor& w, const Conv2dSpec& spec, Tensor& gx) {
  if (gx.numel() == 0) return;
  if (gx.dtype() != DType::float32 || gy.numel() == 0) return ref::conv2d_grad_input(gy, w, spec, gx);
  const Tensor gradient = as_layout(gy, Layout::channels_last), weight = as_layout(w, Layout::contiguous);
  write_as_layout(gx, Layout::channels_last,
                  [&](Tensor& out) { cpu::direct_conv_grad_input(gradient, weight, spec, out); });
}

void conv2d_grad_weight(const Tensor& gy, const Tensor& x, const Conv2dSpec& spec, Tensor& gw) {
  if (gw.numel() == 0) return;
  if (gw.dtype() != DType::float32 || gy.numel() == 0) return ref::conv2d_grad_weight(gy, x, spec, gw);
  const Tensor gradient = as_layout(gy, Layout::channels_last), input = as_layout(x, Layout::channels_last);
  write_as_layout(gw, Layout::contiguous,
                  [&](Tensor& out) { cpu::direct_conv_grad_weight(gradient, input, spec, out); });
}

}  // namespace gradus::kernels
