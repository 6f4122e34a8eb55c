// Padding rules and their printing.
#include "layers/geometry.h"

#include <algorithm>

#include "core/error.h"

namespace gradus {
namespace {

struct Sides {
  int64_t before, after;
};

/// TensorFlow's SAME along one direction.
Sides same_sides(int64_t input, int64_t kernel, int64_t stride, int64_t dilation) {
  const int64_t output = (input + stride - 1) / stride;
  const int64_t total = std::max<int64_t>((output - 1) * stride + (kernel - 1) * dilation + 1 - input, 0);
  return {total / 2, total - total / 2};
}

}  // namespace

void Padding::resolve(Extent2d input, Extent2d kernel, Extent2d stride, Extent2d dilation, int64_t (&sides)[4]) const {
  if (!same_) {
    std::copy(std::begin(sides_), std::end(sides_), std::begin(sides));
    return;
  }
  const Sides vertical = same_sides(input.height, kernel.height, stride.height, dilation.height);
  const Sides horizontal = same_sides(input.width, kernel.width, stride.width, dilation.width);
  sides[0] = vertical.before;
  sides[1] = horizontal.before;
  sides[2] = vertical.after;
  sides[3] = horizontal.after;
}

std::string to_string(Extent2d extent) {
  return extent.width == extent.height ? text(extent.height) : text(extent.height, 'x', extent.width);
}

std::string to_string(const Padding& padding) {
  if (padding.same_) return "same";
  const auto& [top, left, bottom, right] = padding.sides_;
  if (top == bottom && left == right) return to_string(Extent2d(top, left));
  return text(top, ',', left, ',', bottom, ',', right);
}

}  // namespace gradus
