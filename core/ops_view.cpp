// Views, which share memory with their source, and copies that change layout, dtype or extent.
#include <algorithm>
#include <optional>

#include "core/error.h"
#include "core/ops.h"
#include "core/ops_check.h"

namespace gradus {
namespace {

Tensor view(const Tensor& x, const Shape& shape, const Strides& strides, int64_t offset = 0) {
  return Tensor(x.storage(), x.offset() + offset, shape, strides, x.dtype());
}

/// Strides that show x in another shape without moving elements, if there are any: each new dimension must lie within
/// one block of old dimensions that row-major steps run through evenly.
std::optional<Strides> reshaped_strides(const Tensor& x, const Shape& shape) {
  if (x.numel() == 0) return contiguous_strides(shape);
  Strides strides = Dims::filled(shape.rank(), 1);
  int next = shape.rank() - 1;  // new dimensions are filled from the right
  int64_t block = 1;            // elements of the current block of old dimensions
  int64_t base = 1;             // stride of its last dimension
  for (int d = x.rank() - 1; d >= 0; --d) {
    if (x.shape()[d] == 1) continue;
    if (block == 1) base = x.strides()[d];
    block *= x.shape()[d];
    int before = d - 1;
    while (before >= 0 && x.shape()[before] == 1) --before;
    if (before >= 0 && x.strides()[before] == base * block) continue;  // the block goes on
    int64_t filled = 1;
    while (next >= 0 && (filled < block || shape[next] == 1)) {
      strides[next] = base * filled;
      filled *= shape[next--];
    }
    if (filled != block) return std::nullopt;
    block = 1;
  }
  return strides;
}

/// The layout of a new tensor that holds x and more: channels-last where x is.
Layout layout_of(const Tensor& x) {
  return x.rank() == 4 && x.is_channels_last() && !x.is_contiguous() ? Layout::channels_last : Layout::contiguous;
}

Shape completed(const Tensor& x, Shape shape) {
  int64_t known = 1;
  int unknown = -1;
  bool overflows = false;
  for (int d = 0; d < shape.rank(); ++d) {
    if (shape[d] == -1 && unknown >= 0) fail(ErrorKind::shape, "reshape", "only one extent may be -1, got ", shape);
    if (shape[d] < -1) fail(ErrorKind::shape, "reshape", "extents are not negative, got ", shape);
    if (shape[d] == -1)
      unknown = d;
    else
      overflows |= __builtin_mul_overflow(known, shape[d], &known);
  }
  if (unknown >= 0) {
    if (overflows || known == 0 || x.numel() % known != 0)
      fail(ErrorKind::shape, "reshape", "cannot infer the -1 of ", shape, " from ", x.shape(), ", which has ",
           x.numel(), " elements");
    shape[unknown] = x.numel() / known;
    known = x.numel();
  }
  check::bytes("reshape", shape, x.dtype());
  if (known != x.numel())
    fail(ErrorKind::shape, "reshape", shape, " has ", known, " elements, but ", x.shape(), " has ", x.numel());
  return shape;
}

}  // namespace

// ---- Copies --------------------------------------------------------------------------------------------------------

Tensor clone(const Tensor& x) {
  check::defined("clone", x);
  Tensor out = Tensor::empty_like(x);
  kernels::copy(x, out);
  return out;
}

Tensor contiguous(const Tensor& x, Layout layout) {
  check::defined("contiguous", x);
  if (layout == Layout::channels_last) {
    check::rank("contiguous", "a channels-last tensor", x, 4, "[N,C,H,W]");
    if (x.is_channels_last()) return x;
  } else if (x.is_contiguous()) {
    return x;
  }
  Tensor out = Tensor::empty(x.shape(), x.dtype(), layout);
  kernels::copy(x, out);
  return out;
}

Tensor cast(const Tensor& x, DType dtype) {
  check::defined("cast", x);
  if (x.dtype() == dtype) return x;
  Tensor out = Tensor::empty_like(x, dtype);
  kernels::copy(x, out);
  return out;
}

// ---- Views ---------------------------------------------------------------------------------------------------------

Tensor reshape(const Tensor& x, Shape shape) {
  check::defined("reshape", x);
  shape = completed(x, shape);
  if (const auto strides = reshaped_strides(x, shape)) return view(x, shape, *strides);
  const Tensor rows = contiguous(x);
  return view(rows, shape, contiguous_strides(shape));
}

Tensor flatten(const Tensor& x, int64_t from) {
  check::defined("flatten", x);
  Shape shape;
  const int first = x.rank() == 0 ? 0 : normalize_dim("flatten", from, x.rank());
  int64_t merged = 1;
  for (int d = 0; d < x.rank(); ++d) {
    if (d < first)
      shape.push_back(x.shape()[d]);
    else
      merged *= x.shape()[d];
  }
  shape.push_back(merged);
  return reshape(x, shape);
}

Tensor transpose(const Tensor& x, int64_t a, int64_t b) {
  check::defined("transpose", x);
  const int i = normalize_dim("transpose", a, x.rank()), j = normalize_dim("transpose", b, x.rank());
  Shape shape = x.shape();
  Strides strides = x.strides();
  std::swap(shape[i], shape[j]);
  std::swap(strides[i], strides[j]);
  return view(x, shape, strides);
}

Tensor permute(const Tensor& x, const Dims& order) {
  check::defined("permute", x);
  bool seen[max_rank] = {};
  Shape shape;
  Strides strides;
  if (order.rank() != x.rank())
    fail(ErrorKind::shape, "permute", "order ", order, " needs one entry for each dimension of ", x.shape());
  for (int64_t entry : order) {
    const int d = normalize_dim("permute", entry, x.rank());
    if (seen[d]) fail(ErrorKind::shape, "permute", "order ", order, " names dimension ", d, " twice");
    seen[d] = true;
    shape.push_back(x.shape()[d]);
    strides.push_back(x.strides()[d]);
  }
  return view(x, shape, strides);
}

Tensor slice(const Tensor& x, int64_t dim, int64_t begin, int64_t end, int64_t step) {
  check::defined("slice", x);
  const int d = normalize_dim("slice", dim, x.rank());
  const int64_t extent = x.shape()[d];
  if (step < 1) fail(ErrorKind::value, "slice", "step must be at least 1, got ", step);
  const int64_t first = begin < 0 ? begin + extent : begin;
  const int64_t last = std::min(end < 0 ? end + extent : end, extent);
  if (first < 0 || first > extent || last < 0)
    fail(ErrorKind::shape, "slice", "[", begin, ", ", end, ") lies outside dimension ", d, " of ", x.shape());
  Shape shape = x.shape();
  Strides strides = x.strides();
  shape[d] = last > first ? (last - first - 1) / step + 1 : 0;
  if (shape[d] > 1) strides[d] *= step;  // else the step may be anything
  return view(x, shape, strides, shape[d] == 0 ? 0 : first * x.strides()[d]);
}

Tensor select(const Tensor& x, int64_t dim, int64_t position) {
  check::defined("select", x);
  const int d = normalize_dim("select", dim, x.rank());
  const int64_t extent = x.shape()[d];
  const int64_t at = position < 0 ? position + extent : position;
  if (at < 0 || at >= extent)
    fail(ErrorKind::shape, "select", "position ", position, " lies outside dimension ", d, " of ", x.shape());
  Shape shape = x.shape();
  Strides strides = x.strides();
  shape.erase(d);
  strides.erase(d);
  return view(x, shape, strides, at * x.strides()[d]);
}

Tensor squeeze(const Tensor& x, int64_t dim) {
  check::defined("squeeze", x);
  const int d = normalize_dim("squeeze", dim, x.rank());
  if (x.shape()[d] != 1)
    fail(ErrorKind::shape, "squeeze", "dimension ", d, " of ", x.shape(),
         " needs extent 1; select() takes one of several");
  Shape shape = x.shape();
  Strides strides = x.strides();
  shape.erase(d);
  strides.erase(d);
  return view(x, shape, strides);
}

Tensor unsqueeze(const Tensor& x, int64_t dim) {
  check::defined("unsqueeze", x);
  const int d = normalize_dim("unsqueeze", dim, x.rank() + 1);
  Shape shape = x.shape();
  Strides strides = x.strides();
  // As if the new dimension were part of a row-major walk: keeps dense tensors dense.
  const int64_t stride = d < x.rank() ? x.shape()[d] * x.strides()[d] : 1;
  shape.insert(d, 1);
  strides.insert(d, stride);
  return view(x, shape, strides);
}

Tensor expand(const Tensor& x, const Shape& shape) {
  check::defined("expand", x);
  if (x.shape() == shape) return x;
  const int added = shape.rank() - x.rank();
  bool fits = added >= 0;
  Strides strides = Dims::filled(shape.rank(), 0);
  for (int d = 0; fits && d < x.rank(); ++d) {
    if (x.shape()[d] == shape[added + d])
      strides[added + d] = x.strides()[d];
    else
      fits = x.shape()[d] == 1;
  }
  if (!fits || std::any_of(shape.begin(), shape.end(), [](int64_t extent) { return extent < 0; }))
    fail(ErrorKind::shape, "expand", x.shape(), " cannot be expanded to ", shape,
         "; aligned at the right, extents must be equal or 1 in the source");
  check::bytes("expand", shape, x.dtype());
  return view(x, shape, strides);
}

// ---- Joining and padding -------------------------------------------------------------------------------------------

Tensor concat(std::span<const Tensor> parts, int64_t dim) {
  if (parts.empty()) fail(ErrorKind::value, "concat", "needs at least one tensor");
  const Tensor& first = parts.front();
  check::defined("concat", first, "part 0");
  const int d = normalize_dim("concat", dim, first.rank());
  Shape shape = first.shape();
  shape[d] = 0;
  for (size_t i = 0; i < parts.size(); ++i) {
    check::defined("concat", parts[i], "a part");
    check::same_dtype("concat", first, parts[i]);
    Shape expected = first.shape();
    if (parts[i].rank() == first.rank()) expected[d] = parts[i].shape()[d];
    if (!(parts[i].shape() == expected))
      fail(ErrorKind::shape, "concat", "parts must agree except along dimension ", d, ", but part ", i, " is ",
           parts[i].shape(), " and part 0 is ", first.shape());
    if (__builtin_add_overflow(shape[d], expected[d], &shape[d]))
      fail(ErrorKind::shape, "concat", "the parts are too long together; part 0 is ", first.shape());
  }
  Tensor out = Tensor::empty(shape, first.dtype(), layout_of(first));
  int64_t begin = 0;
  for (const Tensor& part : parts) {
    const int64_t end = begin + part.shape()[d];
    Tensor target = slice(out, d, begin, end);
    kernels::copy(part, target);
    begin = end;
  }
  return out;
}

Tensor stack(std::span<const Tensor> parts, int64_t dim) {
  if (parts.empty()) fail(ErrorKind::value, "stack", "needs at least one tensor");
  check::defined("stack", parts.front(), "part 0");
  const Shape& shape = parts.front().shape();
  const int d = normalize_dim("stack", dim, shape.rank() + 1);
  std::vector<Tensor> rows;
  rows.reserve(parts.size());
  for (const Tensor& part : parts) {
    check::shape("stack", "every part", part, shape);
    rows.push_back(unsqueeze(part, d));
  }
  return concat(rows, d);
}

std::vector<Tensor> split(const Tensor& x, const std::vector<int64_t>& extents, int64_t dim) {
  check::parts("split", x, extents, dim);
  std::vector<Tensor> parts;
  int64_t begin = 0;
  for (const int64_t extent : extents) {
    parts.push_back(slice(x, dim, begin, begin + extent));
    begin += extent;
  }
  return parts;
}

std::vector<Tensor> chunk(const Tensor& x, int64_t count, int64_t dim) {
  return split(x, check::equal_parts("chunk", x, count, dim), dim);
}

std::vector<Tensor> unbind(const Tensor& x, int64_t dim) {
  check::defined("unbind", x);
  std::vector<Tensor> parts;
  for (int64_t i = 0; i < x.size(normalize_dim("unbind", dim, x.rank())); ++i) parts.push_back(select(x, dim, i));
  return parts;
}

Tensor pad(const Tensor& x, const Dims& before, const Dims& after, double value) {
  check::defined("pad", x);
  if (before.rank() != x.rank() || after.rank() != x.rank())
    fail(ErrorKind::shape, "pad", "before ", before, " and after ", after, " need one entry for each dimension of ",
         x.shape());
  check::scalar("pad", x.dtype(), value);
  Shape shape = x.shape();
  for (int d = 0; d < x.rank(); ++d) {
    if (before[d] < 0 || after[d] < 0)
      fail(ErrorKind::value, "pad", "before ", before, " and after ", after,
           " must not be negative; slice() removes elements");
    if (__builtin_add_overflow(shape[d], before[d], &shape[d]) || __builtin_add_overflow(shape[d], after[d], &shape[d]))
      fail(ErrorKind::shape, "pad", "before ", before, " and after ", after, " are too much for ", x.shape());
  }
  Tensor out = Tensor::empty(shape, x.dtype(), layout_of(x));
  kernels::fill(value, out);
  Tensor inside = out;
  for (int d = 0; d < x.rank(); ++d) inside = slice(inside, d, before[d], before[d] + x.shape()[d]);
  kernels::copy(x, inside);
  return out;
}

}  // namespace gradus
