// Images from bytes that lie on the device.
#include "core/error.h"
#include "core/ops.h"
#include "core/ops_check.h"

namespace gradus {

Tensor pick_images(const Tensor& pixels, const Tensor& numbers, const Tensor& table, const RandomCrop& crop) {
  check::rank("pick_images", "the pixels", pixels, 4, "[all,C,H,W]");
  check::rank("pick_images", "the list of numbers", numbers, 1, "[n]");
  check::shape("pick_images", "the table", table, {pixels.size(1), 256});
  if (pixels.dtype() != DType::uint8 || numbers.dtype() != DType::int64 || table.dtype() != DType::float32)
    fail(ErrorKind::dtype, "pick_images", "expects pixels of uint8, numbers of int64 and a table of float32, got ",
         pixels.dtype(), ", ", numbers.dtype(), " and ", table.dtype());
  if (crop.padding < 0) fail(ErrorKind::value, "pick_images", "the padding must be 0 or more, got ", crop.padding);
  Tensor out = Tensor::empty({numbers.size(0), pixels.size(1), pixels.size(2), pixels.size(3)}, DType::float32,
                             Layout::channels_last);
  kernels::pick_images(pixels, contiguous(numbers), contiguous(table), crop, out);
  return out;
}

}  // namespace gradus
