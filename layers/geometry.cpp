// Padding rules and their printing.
#include "layers/geometry.h"

#include <algorithm>

#include "core/error.h"

namespace gradus {
namespace {

struct Ends {
  int64_t before, after;
};

/// TensorFlow's SAME along one direction.
Ends same_ends(int64_t input, int64_t kernel, int64_t stride, int64_t dilation) {
  const int64_t output = (input + stride - 1) / stride;
  const int64_t total = std::max<int64_t>((output - 1) * stride + (kernel - 1) * dilation + 1 - input, 0);
  return {total / 2, total - total / 2};
}

}  // namespace

Sides Padding::resolve(Extent2d input, Extent2d kernel, Extent2d stride, Extent2d dilation) const {
  if (!same_) return sides_;
  const Ends vertical = same_ends(input.height, kernel.height, stride.height, dilation.height);
  const Ends horizontal = same_ends(input.width, kernel.width, stride.width, dilation.width);
  return {vertical.before, horizontal.before, vertical.after, horizontal.after};
}

std::string to_string(Extent2d extent) {
  return extent.width == extent.height ? text(extent.height) : text(extent.height, 'x', extent.width);
}

std::string to_string(const Padding& padding) {
  if (padding.same_) return "same";
  const Sides& p = padding.sides_;
  if (p == Sides(p[0], p[1])) return to_string(Extent2d(p[0], p[1]));
  return text(p[0], ',', p[1], ',', p[2], ',', p[3]);
}

}  // namespace gradus
