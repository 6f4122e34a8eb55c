// When Winograd's algorithm computes a convolution on the GPU, and how it is cut.
#include <algorithm>
#include <bit>

#include "core/accelerator.h"
#include "core/convolution.h"
#include "core/cuda/conv_check.h"
#include "core/cuda/launch.h"
#include "core/cuda/winograd.h"

namespace gradus::cuda {
namespace {

constexpr int64_t points = 36, tile = 4, channel_multiple = 4;  // 16 bytes

/// Tiles of an image of y or, in the gradient of the input, of x.
int64_t tiles_of(const Shape& image) { return divided_up(image[2], tile) * divided_up(image[3], tile); }

bool is_image_batch(const Tensor& x) {
  return x.dtype() == DType::float32 && x.is_channels_last() && reinterpret_cast<uintptr_t>(x.raw()) % 16 == 0 &&
         x.shape()[1] % channel_multiple == 0;
}

}  // namespace

bool winograd_can(const ConvOperands& o, const Conv2dSpec& spec) {
  const Shape &x = o.x.shape(), &w = o.w.shape(), &y = o.y.shape();
  if (accelerator().tf32 || spec.groups != 1 || w[2] != 3 || w[3] != 3) return false;
  for (const int64_t step : {spec.stride[0], spec.stride[1], spec.dilation[0], spec.dilation[1]})
    if (step != 1) return false;
  if (!is_image_batch(o.x) || !is_image_batch(o.y) || o.w.dtype() != DType::float32) return false;
  if (o.bias.defined() && o.bias.dtype() != DType::float32) return false;
  // A kernel numbers the values of one chunk, at least one image, by 32 bits; and the filters' points take memory.
  constexpr int64_t most_values = int64_t{1} << 30, most_filters = int64_t{1} << 20;
  const int64_t most_tiles = std::max(tiles_of(x), tiles_of(y));
  return points * most_tiles * std::max(w[0], w[1]) <= most_values && w[0] * w[1] <= most_filters;
}

bool winograd_pays(const Shape& x, const Shape& w, const Shape& y) {
  // Few channels or few tiles: the transforms outweigh what the products save. Little work: so do the kernels' starts.
  constexpr int64_t fewest_channels = 32, fewest_tiles = 128, fewest_products = int64_t{1} << 28;
  const int64_t tiles = x[0] * tiles_of(y), channels = w[0] * w[1];
  const int64_t products = x[0] * y[2] * y[3] * 9 * channels;
  return std::min(w[0], w[1]) >= fewest_channels && tiles >= fewest_tiles && products >= fewest_products &&
         tiles * points * channels <= products / 2;  // not so where most of a tile hangs over the border
}

WinogradCut winograd_cut(ConvPass pass, const Shape& x, const Shape& w, const Shape& y) {
  // A chunk's points of the inputs and of the products are as large together. One of the two remains in the
  // second-level cache (50 MB) while the next kernel reads it.
  constexpr int64_t chunk_bytes = int64_t{64} << 20;
  const int64_t tiles = tiles_of(pass == ConvPass::grad_input ? x : y);
  const int64_t image_bytes = tiles * points * (w[0] + w[1]) * static_cast<int64_t>(sizeof(float));
  const int64_t chunks = divided_up(x[0], std::clamp<int64_t>(chunk_bytes / image_bytes, 1, x[0]));
  WinogradCut cut = {.images = divided_up(x[0], chunks)};
  if (pass != ConvPass::grad_weight) return cut;
  // Enough blocks of 64 x 64 sums for a GPU of 132 multiprocessors, of at least 128 terms.
  constexpr int64_t enough_blocks = 528, side = 64, fewest_terms = 128;
  const int64_t blocks = points * divided_up(w[0], side) * divided_up(w[1], side);
  const auto wanted = static_cast<uint64_t>(divided_up(enough_blocks, blocks));
  const auto most = static_cast<uint64_t>(std::max<int64_t>(1, cut.images * tiles / fewest_terms));
  cut.parts = static_cast<int64_t>(std::min(std::bit_ceil(wanted), std::bit_floor(most)));
  return cut;
}

bool winograd_conv(ConvPass pass, const ConvOperands& operands, const Conv2dSpec& spec) {
  const Shape &x = operands.x.shape(), &w = operands.w.shape(), &y = operands.y.shape();
  const ConvAlgorithm algorithm = conv_algorithm();
  if (algorithm == ConvAlgorithm::direct || !winograd_can(operands, spec)) return false;
  if (algorithm != ConvAlgorithm::winograd && !winograd_pays(x, w, y)) return false;
  const auto run = [&](const ConvOperands& o) { winograd(pass, o, spec, winograd_cut(pass, x, w, y)); };
  if (!passes_once(pass, operands, spec, "Winograd's algorithm", run)) return false;
  run(operands);
  return true;
}

}  // namespace gradus::cuda
