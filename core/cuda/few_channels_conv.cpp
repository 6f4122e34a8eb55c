// When the kernels for few input channels compute a convolution on the GPU.
#include <algorithm>

#include "core/accelerator.h"
#include "core/convolution.h"
#include "core/cuda/conv_check.h"
#include "core/cuda/few_channels.h"

namespace gradus::cuda {
namespace {

bool is_flat(const Tensor& activations) {
  return activations.is_channels_last() && reinterpret_cast<uintptr_t>(activations.raw()) % 16 == 0;
}

bool takes_tensor_cores(DType dtype) { return dtype == DType::bfloat16 || accelerator().tf32; }

}  // namespace

bool few_channels_can(ConvPass pass, const ConvOperands& o, const Conv2dSpec& spec) {
  const Shape &x = o.x.shape(), &w = o.w.shape(), &y = o.y.shape();
  if (pass == ConvPass::grad_input || spec.groups != 1 || w[2] != 3 || w[3] != 3) return false;
  if (w[1] < 1 || w[1] > 4 || w[0] % 8 != 0) return false;
  if ((o.x.dtype() != DType::float32 && o.x.dtype() != DType::bfloat16) || o.y.dtype() != o.x.dtype()) return false;
  if (o.w.dtype() != DType::float32 && o.w.dtype() != DType::bfloat16) return false;
  if (!is_flat(o.y)) return false;
  // The kernels number pixels, and places within an image, by 32 bits.
  constexpr int64_t most = int64_t{1} << 30;
  const int64_t reach = std::max({y[2] * spec.stride[0] + 2 * spec.dilation[0] + spec.padding[0],
                                  y[3] * spec.stride[1] + 2 * spec.dilation[1] + spec.padding[1], x[2], x[3]});
  return y[0] * y[2] * (y[3] + 8) <= most && reach <= most && w[0] <= int64_t{1} << 16;
}

bool few_channels_pays(const Shape& w, const Shape& y) {
  // Threads compute 8 neighbours of a row: below 4 most of them would be outside. Few pixels leave the GPU idle.
  constexpr int64_t fewest_pixels = 4096, fewest_columns = 4, fewest_channels = 16, most_channels = 512;
  return y[0] * y[2] * y[3] >= fewest_pixels && y[3] >= fewest_columns && w[0] >= fewest_channels &&
         w[0] <= most_channels;
}

bool few_channels_masks(const ConvOperands& o, const BeforeRelu& relu) {
  return takes_tensor_cores(o.x.dtype()) && relu.y.defined() && is_flat(relu.y) && relu.y.dtype() == o.y.dtype();
}

void few_channels(ConvPass pass, const ConvOperands& o, const Conv2dSpec& spec, const BeforeRelu& relu,
                  int64_t most_blocks) {
  if (!takes_tensor_cores(o.x.dtype())) return few_channels_sums(pass, o, spec, most_blocks);
  if (pass == ConvPass::forward) return few_channels_forward(o, spec, most_blocks);
  few_channels_gradient(o, relu, spec, most_blocks);
}

namespace {

/// Whether the kernels can and pay.
bool few_channels_fit(ConvPass pass, const ConvOperands& operands, const Conv2dSpec& spec) {
  return conv_algorithm() != ConvAlgorithm::direct && few_channels_can(pass, operands, spec) &&
         few_channels_pays(operands.w.shape(), operands.y.shape());
}

}  // namespace

bool few_channels_conv(ConvPass pass, const ConvOperands& operands, const Conv2dSpec& spec) {
  if (!few_channels_fit(pass, operands, spec)) return false;
  const auto run = [&](const ConvOperands& o) { few_channels(pass, o, spec); };
  if (!passes_once(pass, operands, spec, "the algorithm for few input channels", run)) return false;
  run(operands);
  return true;
}

bool few_channels_gradients(const ConvOperands& operands, const BeforeRelu& relu, const Conv2dSpec& spec) {
  constexpr ConvPass pass = ConvPass::grad_weight;
  if (!few_channels_masks(operands, relu) || !few_channels_fit(pass, operands, spec)) return false;
  // In the trial a gradient masks itself: what passes is its ReLU, which the plain sums then take as it is.
  const auto run_trial = [&](const ConvOperands& o) {
    Tensor gy = Tensor::empty_like(o.y), passing = o.y, gbias;
    kernels::copy(o.y, gy);
    add_bias_relu({}, true, passing);
    if (relu.gbias.defined()) gbias = Tensor::empty(relu.gbias.shape(), relu.gbias.dtype());
    few_channels(pass, {o.x, o.w, gy}, spec, {gy, gbias});
  };
  if (!passes_once(pass, operands, spec, "the algorithm for few input channels through ReLU", run_trial)) return false;
  few_channels(pass, operands, spec, relu);
  return true;
}

}  // namespace gradus::cuda
