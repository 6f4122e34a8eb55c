// When the kernels for few input channels compute a convolution on the GPU.
#include <algorithm>

#include "core/convolution.h"
#include "core/cuda/conv_check.h"
#include "core/cuda/few_channels.h"

namespace gradus::cuda {

bool few_channels_can(ConvPass pass, const ConvOperands& o, const Conv2dSpec& spec) {
  const Shape &x = o.x.shape(), &w = o.w.shape(), &y = o.y.shape();
  if (pass == ConvPass::grad_input || spec.groups != 1 || w[2] != 3 || w[3] != 3) return false;
  if (w[1] < 1 || w[1] > 4 || w[0] % 8 != 0) return false;
  if ((o.x.dtype() != DType::float32 && o.x.dtype() != DType::bfloat16) || o.y.dtype() != o.x.dtype()) return false;
  if (!o.y.is_channels_last() || reinterpret_cast<uintptr_t>(o.y.raw()) % 16 != 0) return false;
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

bool few_channels_conv(ConvPass pass, const ConvOperands& operands, const Conv2dSpec& spec) {
  if (conv_algorithm() == ConvAlgorithm::direct || !few_channels_can(pass, operands, spec)) return false;
  if (!few_channels_pays(operands.w.shape(), operands.y.shape())) return false;
  const auto run = [&](const ConvOperands& o) { few_channels(pass, o, spec); };
  if (!passes_once(pass, operands, spec, "the algorithm for few input channels", run)) return false;
  run(operands);
  return true;
}

}  // namespace gradus::cuda
