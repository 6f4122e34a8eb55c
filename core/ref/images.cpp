// Reference kernel of images from stored bytes.
#include "core/kernels.h"
#include "core/ref/loops.h"

namespace gradus::ref {

void pick_images(const Tensor& pixels, const Tensor& numbers, const Tensor& table, const RandomCrop& crop,
                 Tensor& out) {
  const Shape& shape = out.shape();
  const Strides &from = pixels.strides(), &to = out.strides();
  for (int64_t i = 0; i < shape[0]; ++i) {
    const int64_t number = pointer<int64_t>(numbers)[i];
    const Placement placement = draw_placement(crop.key_of(number), crop.padding);
    for (int64_t y = 0; y < shape[2]; ++y)
      for (int64_t x = 0; x < shape[3]; ++x) {
        const int64_t row = y + placement.top - crop.padding;
        const int64_t column = (placement.flip ? shape[3] - 1 - x : x) + placement.left - crop.padding;
        const bool inside = row >= 0 && row < shape[2] && column >= 0 && column < shape[3];
        for (int64_t c = 0; c < shape[1]; ++c) {
          const int64_t place = number * from[0] + c * from[1] + row * from[2] + column * from[3];
          const uint8_t byte = inside ? pointer<uint8_t>(pixels)[place] : uint8_t{0};
          pointer<float>(out)[i * to[0] + c * to[1] + y * to[2] + x * to[3]] = pointer<float>(table)[256 * c + byte];
        }
      }
  }
}

}  // namespace gradus::ref
