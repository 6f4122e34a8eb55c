#include "core/shape.h"

#include <algorithm>
#include <ostream>

#include "core/error.h"

namespace gradus {

void Dims::too_many() { fail(ErrorKind::shape, "shape", "a tensor has at most ", max_rank, " dimensions"); }

std::string to_string(const Dims& dims) {
  std::string out = "[";
  for (int i = 0; i < dims.rank(); ++i) out += text(i ? "," : "", dims[i]);
  return out + "]";
}

std::ostream& operator<<(std::ostream& out, const Dims& dims) { return out << to_string(dims); }

Strides contiguous_strides(const Shape& shape) {
  Strides strides = Dims::filled(shape.rank(), 1);
  for (int i = shape.rank() - 2; i >= 0; --i) strides[i] = strides[i + 1] * std::max<int64_t>(shape[i + 1], 1);
  return strides;
}

Strides channels_last_strides(const Shape& shape) {
  if (shape.rank() != 4) fail(ErrorKind::shape, "channels_last", "needs 4 dimensions, got ", shape);
  const int64_t c = std::max<int64_t>(shape[1], 1), h = std::max<int64_t>(shape[2], 1),
                w = std::max<int64_t>(shape[3], 1);
  return {h * w * c, 1, w * c, c};
}

Shape broadcast(std::string_view op, const Shape& a, const Shape& b) {
  const int rank = std::max(a.rank(), b.rank());
  Shape out = Dims::filled(rank, 1);
  for (int i = 1; i <= rank; ++i) {
    const int64_t x = i <= a.rank() ? a[a.rank() - i] : 1, y = i <= b.rank() ? b[b.rank() - i] : 1;
    if (x != y && x != 1 && y != 1)
      fail(ErrorKind::shape, op, "shapes ", a, " and ", b, " do not broadcast: extents ", x, " and ", y,
           " must be equal or one of them 1");
    out[rank - i] = x == 1 ? y : x;
  }
  return out;
}

int normalize_dim(std::string_view op, int64_t dim, int rank) {
  if (dim < -rank || dim >= rank)
    fail(ErrorKind::shape, op, "dimension ", dim, " does not exist in a tensor of rank ", rank);
  return static_cast<int>(dim < 0 ? dim + rank : dim);
}

}  // namespace gradus
