// Operations that write into their argument, for optimizers and buffers. Each bumps the version of the memory, so that
// autograd can tell that a saved tensor changed.
#include "core/error.h"
#include "core/ops.h"
#include "core/ops_check.h"

namespace gradus {
namespace {

/// The range of elements [first, last] that a nonempty tensor touches, relative to its storage.
struct Extent {
  explicit Extent(const Tensor& x) : first(x.offset()), last(x.offset()) {
    for (int d = 0; d < x.rank(); ++d) last += (x.shape()[d] - 1) * x.strides()[d];
  }
  int64_t first, last;
};

/// x, or a copy where writing y would change elements of x that are still to be read.
Tensor readable_beside(const Tensor& x, const Tensor& y) {
  if (!(x.storage() == y.storage()) || x.numel() == 0 || y.numel() == 0) return x;
  const bool same_view = x.offset() == y.offset() && x.strides() == y.strides() && x.dtype() == y.dtype();
  if (same_view) return x;
  const Extent a(x), b(y);
  const bool apart = x.dtype() == y.dtype() && (a.last < b.first || b.last < a.first);
  return apart ? x : clone(x);
}

/// x broadcast to y's shape, which must not grow.
Tensor broadcast_to(const char* op, const Tensor& x, const Tensor& y) {
  check::defined(op, x, "the source");
  if (x.shape() == y.shape()) return x;
  if (!(broadcast(op, x.shape(), y.shape()) == y.shape()))
    fail(ErrorKind::shape, op, "the source ", x.shape(), " does not broadcast to the ", y.shape(), " that is written");
  return expand(x, y.shape());
}

}  // namespace

void fill_(Tensor& x, double value) {
  check::writable("fill_", x);
  check::scalar("fill_", x.dtype(), value);
  kernels::fill(value, x);
  x.bump_version();
}

void copy_(Tensor& to, const Tensor& from) {
  check::writable("copy_", to);
  const Tensor source = broadcast_to("copy_", from, to);
  check::same_dtype("copy_", to, source);
  kernels::copy(readable_beside(source, to), to);
  to.bump_version();
}

void axpby_(double alpha, const Tensor& x, double beta, Tensor& y) {
  check::writable("axpby_", y);
  const Tensor source = broadcast_to("axpby_", x, y);
  check::same_dtype("axpby_", y, source);
  if (!is_floating(y.dtype())) check::fail_floating("axpby_", y);
  kernels::axpby(alpha, readable_beside(source, y), beta, y);
  y.bump_version();
}

void add_(Tensor& y, const Tensor& x, double alpha) {
  if (alpha == 1 && y.defined() && !is_floating(y.dtype())) return binary_(BinaryOp::add, y, x);  // counters
  axpby_(alpha, x, 1, y);
}

void scale_(Tensor& y, double factor) {
  check::writable("scale_", y);
  check::binary(BinaryOp::mul, y);
  check::scalar("scale_", y.dtype(), factor);
  kernels::binary_scalar(BinaryOp::mul, y, factor, y);
  y.bump_version();
}

void binary_(BinaryOp op, Tensor& y, const Tensor& x) {
  const char* name = check::name(op);
  check::writable(name, y);
  const DType result = check::binary(op, y, x);
  if (result != y.dtype())
    fail(ErrorKind::dtype, name, "gives ", result, ", which cannot be written into ", y.dtype(), " in place");
  const Tensor source = broadcast_to(name, x, y);
  kernels::binary(op, y, readable_beside(source, y), y);
  y.bump_version();
}

void unary_(UnaryOp op, Tensor& x) {
  check::unary(op, x);
  check::writable(check::name(op), x);
  kernels::unary(op, x, x);
  x.bump_version();
}

}  // namespace gradus
