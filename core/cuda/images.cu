// Images from stored bytes: some blocks of threads make each image, in the order of channels-last memory.
#include "core/cuda/launch.h"
#include "core/kernels.h"

namespace gradus::kernels {
namespace {

using namespace cuda;

struct PickImages {
  struct Shared {
    int64_t number, top, left;
    bool flip;
  };
  static constexpr int blocks = 4;  // of an image: a batch has fewer images than a GPU has room for blocks
  const uint8_t* pixels;
  const int64_t* numbers;
  const float* table;
  float* out;
  int channels, height, width;
  int64_t from[4], to[4];  // strides
  RandomCrop crop;

  GRADUS_ANYWHERE int phases() const { return 2; }
  GRADUS_ANYWHERE void operator()(int phase, int64_t block, int thread, Shared& shared) const {
    const int64_t image = block / blocks;
    if (phase == 0) {
      if (thread != 0) return;
      shared.number = numbers[image];
      const Placement placement = draw_placement(crop.key_of(shared.number), crop.padding);
      shared.top = placement.top - crop.padding;
      shared.left = placement.left - crop.padding;
      shared.flip = placement.flip;
      return;
    }
    const int first = static_cast<int>(block % blocks) * threads_per_block + thread;
    for (int i = first; i < channels * height * width; i += blocks * threads_per_block) {
      const int c = i % channels, x = i / channels % width, y = i / channels / width;
      const int64_t row = y + shared.top, column = (shared.flip ? width - 1 - x : x) + shared.left;
      const bool inside = row >= 0 && row < height && column >= 0 && column < width;
      const uint8_t byte =
          inside ? pixels[shared.number * from[0] + c * from[1] + row * from[2] + column * from[3]] : uint8_t{0};
      out[image * to[0] + c * to[1] + y * to[2] + x * to[3]] = table[256 * c + byte];
    }
  }
};

}  // namespace

void pick_images(const Tensor& pixels, const Tensor& numbers, const Tensor& table, const RandomCrop& crop,
                 Tensor& out) {
  const Shape& shape = out.shape();
  const Strides &from = pixels.strides(), &to = out.strides();
  for_each_block(shape[0] * PickImages::blocks, PickImages{.pixels = static_cast<const uint8_t*>(pixels.raw()),
                                                           .numbers = static_cast<const int64_t*>(numbers.raw()),
                                                           .table = static_cast<const float*>(table.raw()),
                                                           .out = static_cast<float*>(out.raw()),
                                                           .channels = static_cast<int>(shape[1]),
                                                           .height = static_cast<int>(shape[2]),
                                                           .width = static_cast<int>(shape[3]),
                                                           .from = {from[0], from[1], from[2], from[3]},
                                                           .to = {to[0], to[1], to[2], to[3]},
                                                           .crop = crop});
}

}  // namespace gradus::kernels
