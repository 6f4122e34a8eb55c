// When the kernels for the weight's gradient in TF32 compute it, and how it is cut.
#include "core/accelerator.h"
#include "core/convolution.h"
#include "core/cuda/conv_check.h"
#include "core/cuda/grad_weight.h"
#include "core/cuda/launch.h"

namespace gradus::cuda {
namespace {

constexpr int64_t window_pixels = 64, ins = 32;

int64_t windows_of(const Shape& y, int64_t width) {
  return divided_up(y[2], window_pixels / width) * divided_up(y[3], width);
}

bool is_image_batch_of_quads(const Tensor& x) {
  constexpr int64_t most_elements = int64_t{1} << 30;  // numbered by 32 bits
  return x.dtype() == DType::float32 && x.is_channels_last() && reinterpret_cast<uintptr_t>(x.raw()) % 16 == 0 &&
         x.shape()[1] % 4 == 0 && x.numel() <= most_elements;
}

}  // namespace

bool grad_weight_can(ConvPass pass, const ConvOperands& o, const Conv2dSpec& spec) {
  const Shape& w = o.w.shape();
  if (pass != ConvPass::grad_weight || !accelerator().tf32 || spec.groups != 1 || w[2] != 3 || w[3] != 3) return false;
  if (spec.dilation[0] != 1 || spec.dilation[1] != 1) return false;
  if (spec.stride[0] != spec.stride[1] || (spec.stride[0] != 1 && spec.stride[0] != 2)) return false;
  return is_image_batch_of_quads(o.x) && is_image_batch_of_quads(o.y) &&
         grad_weight_shared(w, o.y.shape(), spec) <= most_shared();
}

GradWeightCut grad_weight_cut(const Shape& w, const Shape& y) {
  // Of equals, more output channels: each value of x meets more. And square windows: less of x around them.
  const int64_t outs = divided_up(w[0], 64) * 64 < divided_up(w[0], 96) * 96 ? 64 : 96;
  int64_t width = 8;
  for (const int64_t wider : {int64_t{16}, int64_t{32}})
    if (windows_of(y, wider) < windows_of(y, width)) width = wider;
  return {.outs = outs,
          .width = width,
          .out_slices = divided_up(w[0], outs),
          .in_slices = divided_up(w[1], ins),
          .windows = y[0] * windows_of(y, width)};
}

bool grad_weight_pays(const Shape& w, const Shape& y) {
  constexpr int64_t fewest_products = int64_t{1} << 28;
  const int64_t of_pixel = w[0] * w[1] * 9, products = y[0] * y[2] * y[3] * of_pixel;
  const GradWeightCut cut = grad_weight_cut(w, y);
  const int64_t done = cut.windows * window_pixels * cut.out_slices * cut.outs * cut.in_slices * ins * 9;
  return products >= fewest_products && 2 * products >= done;
}

bool grad_weight_conv(ConvPass pass, const ConvOperands& operands, const Conv2dSpec& spec) {
  if (conv_algorithm() == ConvAlgorithm::direct || !grad_weight_can(pass, operands, spec)) return false;
  if (!grad_weight_pays(operands.w.shape(), operands.y.shape())) return false;
  const auto run = [&](const ConvOperands& o) { grad_weight(o, spec); };
  if (!passes_once(pass, operands, spec, "the algorithm for the weight's gradient in TF32", run)) return false;
  run(operands);
  return true;
}

}  // namespace gradus::cuda
