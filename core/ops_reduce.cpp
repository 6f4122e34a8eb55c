// Reductions over dimensions, indexing along one dimension, and the matrix product.
#include <cmath>
#include <limits>

#include "core/error.h"
#include "core/ops.h"
#include "core/ops_check.h"

namespace gradus {
namespace {

/// Which dimensions a reduction runs over, and what it leaves.
struct Plan {
  Plan(const char* op, const Tensor& x, const Dims& dims) {
    check::defined(op, x);
    bool reduced[max_rank] = {};
    for (int64_t entry : dims) {
      const int d = normalize_dim(op, entry, x.rank());
      if (reduced[d]) fail(ErrorKind::shape, op, "dimensions ", dims, " name dimension ", d, " twice");
      reduced[d] = true;
    }
    for (int d = 0; d < x.rank(); ++d) {
      const bool over = dims.empty() || reduced[d];
      if (over)
        count *= x.shape()[d];
      else
        short_shape.push_back(x.shape()[d]);
      full_shape.push_back(over ? 1 : x.shape()[d]);
    }
  }
  Shape full_shape;   ///< with extent 1 along reduced dimensions
  Shape short_shape;  ///< without them
  int64_t count = 1;  ///< elements that make one result
};

Tensor with_shape(const Tensor& dense, const Shape& shape) {
  return Tensor(dense.storage(), dense.offset(), shape, contiguous_strides(shape), dense.dtype());
}

Tensor reduce(ReduceOp op, const Tensor& x, const Plan& plan) {
  Tensor out = Tensor::empty(plan.full_shape, x.dtype());
  kernels::reduce(op, x, out);
  return out;
}

Tensor extremum(const char* name, ReduceOp op, const Tensor& x, const Dims& dims, bool keep_dims) {
  const Plan plan(name, x, dims);
  if (plan.count == 0 && numel(plan.full_shape) > 0)
    fail(ErrorKind::shape, name, "no elements to choose from: ", x.shape(), " is empty along the reduced dimensions");
  const Tensor out = reduce(op, x, plan);
  return keep_dims ? out : with_shape(out, plan.short_shape);
}

/// That bool and uint8, whose sums would wrap at once, are cast first.
void summable(const char* op, const Tensor& x) {
  if (x.dtype() == DType::boolean || x.dtype() == DType::uint8)
    fail(ErrorKind::dtype, op, "a sum of ", x.dtype(), " would overflow; cast it first, as in cast(x, DType::int64)");
}

/// That index has x's extents except along d, with values inside.
void indexable(const char* op, const Tensor& x, int d, const Tensor& index) {
  check::defined(op, index, "the index");
  bool fits = index.rank() == x.rank();
  for (int i = 0; fits && i < x.rank(); ++i) fits = i == d || index.shape()[i] == x.shape()[i];
  if (!fits)
    fail(ErrorKind::shape, op, "index ", index.shape(), " must have the extents of ", x.shape(),
         " except along dimension ", d);
  check::indices(op, index, x.shape()[d]);
}

}  // namespace

Tensor sum(const Tensor& x, const Dims& dims, bool keep_dims) {
  const Plan plan("sum", x, dims);
  summable("sum", x);
  const Tensor out = reduce(ReduceOp::sum, x, plan);
  return keep_dims ? out : with_shape(out, plan.short_shape);
}

Tensor mean(const Tensor& x, const Dims& dims, bool keep_dims) {
  check::defined("mean", x);
  return mean(x, dims, keep_dims, x.dtype());
}

Tensor mean(const Tensor& x, const Dims& dims, bool keep_dims, DType dtype) {
  const Plan plan("mean", x, dims);
  if (!is_floating(x.dtype())) check::fail_floating("mean", x);
  if (dtype != x.dtype() && !(x.dtype() == DType::bfloat16 && dtype == DType::float32))
    fail(ErrorKind::dtype, "mean", "of ", x.dtype(), " elements there is none in ", dtype);
  if (plan.count == 0 && numel(plan.full_shape) > 0)
    fail(ErrorKind::shape, "mean", "no elements to average: ", x.shape(), " is empty along the reduced dimensions");
  Tensor out = Tensor::empty(plan.full_shape, dtype);
  if (out.numel() > 0) kernels::mean(x, out);
  return keep_dims ? out : with_shape(out, plan.short_shape);
}

Tensor max(const Tensor& x, const Dims& dims, bool keep_dims) {
  return extremum("max", ReduceOp::max, x, dims, keep_dims);
}
Tensor min(const Tensor& x, const Dims& dims, bool keep_dims) {
  return extremum("min", ReduceOp::min, x, dims, keep_dims);
}

Tensor logsumexp(const Tensor& x, const Dims& dims, bool keep_dims) {
  check::floating("logsumexp", x);
  const Tensor largest = max(x, dims, true);
  // An infinite one is no origin: the differences would not be numbers.
  const Tensor origin = where(less(abs(largest), std::numeric_limits<double>::infinity()), largest, 0.0);
  const Tensor y = log(sum(exp(x - origin), dims, true)) + origin;
  return keep_dims ? y : with_shape(y, Plan("logsumexp", x, dims).short_shape);
}

Tensor variance(const Tensor& x, const Dims& dims, bool keep_dims) {
  return mean(square(x - mean(x, dims, true)), dims, keep_dims);
}

Tensor argmax(const Tensor& x, int64_t dim, bool keep_dims) {
  check::defined("argmax", x);
  const int d = normalize_dim("argmax", dim, x.rank());
  const Plan plan("argmax", x, {d});
  if (plan.count == 0)
    fail(ErrorKind::shape, "argmax", "no elements to choose from: dimension ", d, " of ", x.shape(), " is empty");
  Tensor out = Tensor::empty(plan.full_shape, DType::int64);
  kernels::argmax(x, d, out);
  return keep_dims ? out : with_shape(out, plan.short_shape);
}

Tensor sum_to(const Tensor& x, const Shape& shape) {
  check::defined("sum_to", x);
  if (x.shape() == shape) return x;
  const int added = x.rank() - shape.rank();
  bool fits = added >= 0;
  Dims dims;
  for (int d = 0; fits && d < x.rank(); ++d) {
    const int64_t target = d < added ? 1 : shape[d - added];
    if (target == x.shape()[d]) continue;
    fits = target == 1;
    dims.push_back(d);
  }
  if (!fits) fail(ErrorKind::shape, "sum_to", x.shape(), " is no broadcast of ", shape);
  if (dims.empty()) return reshape(x, shape);  // only leading extents of 1 differ
  return with_shape(sum(x, dims, true), shape);
}

double norm(const Tensor& x) {
  check::floating("norm", x);
  return std::sqrt(sum(square(x)).item());
}

double dot(const Tensor& a, const Tensor& b) {
  check::floating("dot", a);
  check::shape("dot", "the second operand", b, a.shape());
  return sum(a * b).item();
}

int64_t count_correct(const Tensor& logits, const Tensor& labels, int64_t top) {
  check::rank("count_correct", "logits", logits, 2, "[N, K]");
  check::shape("count_correct", "labels", labels, {logits.size(0)});
  if (top < 1) fail(ErrorKind::value, "count_correct", "the label is sought among at least one class, got ", top);
  Tensor hits;
  if (top == 1) {
    hits = equal(argmax(logits, 1), labels);
  } else {
    const Tensor own = gather(logits, 1, unsqueeze(labels, 1));
    const Tensor likelier = sum(cast(greater(logits, own), DType::float32), {1});
    hits = logical_and(less(likelier, static_cast<double>(top)), equal(squeeze(own, 1), squeeze(own, 1)));  // no NaN
  }
  return static_cast<int64_t>(sum(cast(hits, DType::float64)).item());
}

bool all_finite(const Tensor& x) {
  check::defined("all_finite", x);
  if (!is_floating(x.dtype()) || x.numel() == 0) return true;
  // NaN wins both; what is finite at both ends is finite between.
  return std::isfinite(max(x).item()) && std::isfinite(min(x).item());
}

Tensor one_hot(const Tensor& labels, int64_t classes, DType dtype) {
  check::indices("one_hot", labels, classes);
  return cast(equal(unsqueeze(labels, -1), Tensor::arange(classes)), dtype);
}

Tensor gather(const Tensor& x, int64_t dim, const Tensor& index) {
  check::defined("gather", x);
  const int d = normalize_dim("gather", dim, x.rank());
  indexable("gather", x, d, index);
  Tensor out = Tensor::empty(index.shape(), x.dtype());
  kernels::gather(x, d, index, out);
  return out;
}

Tensor index_select(const Tensor& x, int64_t dim, const Tensor& index) {
  check::defined("index_select", x);
  check::defined("index_select", index, "the index");
  const int d = normalize_dim("index_select", dim, x.rank());
  if (index.rank() != 1) fail(ErrorKind::shape, "index_select", "expects an index [n], got ", index.shape());
  check::indices("index_select", index, x.shape()[d]);
  Shape shape = x.shape(), column = Dims::filled(x.rank() - d, 1);
  shape[d] = column[0] = index.numel();
  Tensor out = Tensor::empty(shape, x.dtype());
  kernels::gather(x, d, expand(reshape(index, column), shape), out);
  return out;
}

Tensor embedding(const Tensor& weight, const Tensor& index) {
  check::defined("embedding", weight);
  if (weight.rank() != 2) fail(ErrorKind::shape, "embedding", "expects a weight [V, D], got ", weight.shape());
  check::indices("embedding", index, weight.size(0));
  const int64_t count = index.numel(), features = weight.size(1);
  Tensor out = Tensor::empty({count, features}, weight.dtype());
  kernels::gather(weight, 0, expand(reshape(index, {count, 1}), {count, features}), out);
  Shape shape = index.shape();
  shape.push_back(features);
  return reshape(out, shape);
}

void scatter_add_(Tensor& y, int64_t dim, const Tensor& index, const Tensor& source) {
  check::writable("scatter_add", y);
  const int d = normalize_dim("scatter_add", dim, y.rank());
  check::defined("scatter_add", index, "the index");
  check::defined("scatter_add", source, "the source");
  if (!(index.shape() == source.shape()))
    fail(ErrorKind::shape, "scatter_add", "the index needs the shape of the source ", source.shape(), ", got ",
         index.shape());
  check::same_dtype("scatter_add", y, source);
  indexable("scatter_add", y, d, index);
  kernels::scatter_add(d, index, source.storage() == y.storage() ? clone(source) : source, y);
  y.bump_version();
}

Tensor scatter_add(const Tensor& x, int64_t dim, const Tensor& index, const Tensor& source) {
  check::defined("scatter_add", x);
  Tensor out = clone(x);
  scatter_add_(out, dim, index, source);
  return out;
}

Tensor matmul(const Tensor& a, const Tensor& b) {
  check::activation("matmul", a);
  check::activation("matmul", b);
  check::same_dtype("matmul", a, b);
  return matmul(a, b, a.dtype());
}

Tensor matmul(const Tensor& a, const Tensor& b, DType dtype) {
  check::activation("matmul", a);
  check::activation("matmul", b);
  constexpr DType wide = DType::float32, narrow = DType::bfloat16;
  if (a.dtype() == wide && b.dtype() == narrow) return matmul(cast(a, narrow), b, dtype);
  if (a.dtype() == narrow && b.dtype() == wide) return matmul(a, cast(b, narrow), dtype);
  check::same_dtype("matmul", a, b);
  if (dtype != a.dtype() && !(a.dtype() == narrow && dtype == wide))
    fail(ErrorKind::dtype, "matmul", "a product of ", a.dtype(), " cannot be ", dtype, "; cast the result");
  if (a.rank() < 2 || b.rank() < 2)
    fail(ErrorKind::shape, "matmul", "operands need at least 2 dimensions, got ", a.shape(), " and ", b.shape(),
         "; unsqueeze() makes a vector a matrix");
  const int64_t m = a.size(-2), inner = a.size(-1), n = b.size(-1);
  if (b.size(-2) != inner)
    fail(ErrorKind::shape, "matmul", a.shape(), " x ", b.shape(), ": the columns of the first, ", inner,
         ", must be the rows of the second, ", b.size(-2));
  if (a.rank() == 2 && b.rank() == 2 && m > 0 && n > 0 && inner > 0) {
    Tensor out = Tensor::empty({m, n}, dtype);
    kernels::matmul(a, b, 1, 0, out);
    return out;
  }
  if (b.rank() == 2 && a.rank() > 2) {  // one large product in place of many small ones
    Shape shape = a.shape();
    shape[a.rank() - 1] = n;
    Shape rows = a.shape();
    rows.pop_back();
    return reshape(matmul(reshape(a, {numel(rows), inner}), b, dtype), shape);
  }
  Shape a_leading = a.shape(), b_leading = b.shape();
  for (int i = 0; i < 2; ++i) a_leading.pop_back(), b_leading.pop_back();
  const Shape leading = broadcast("matmul", a_leading, b_leading);
  const auto matrices = [&](int64_t rows, int64_t columns) {
    Shape shape = leading;
    shape.push_back(rows);
    shape.push_back(columns);
    return shape;
  };
  Tensor out = Tensor::empty(matrices(m, n), dtype);
  if (inner == 0)
    kernels::fill(0, out);
  else if (out.numel() > 0)
    kernels::matmul(expand(a, matrices(m, inner)), expand(b, matrices(inner, n)), 1, 0, out);
  return out;
}

Tensor matmul_of_squares(const Tensor& a, const Tensor& b) {
  check::activation("matmul_of_squares", a);
  check::same_dtype("matmul_of_squares", a, b);
  if (a.rank() != 2 || b.rank() != 2 || a.size(1) != b.size(0))
    fail(ErrorKind::shape, "matmul_of_squares", "needs matrices [m, k] and [k, n], got ", a.shape(), " and ",
         b.shape());
  Tensor out = Tensor::empty({a.size(0), b.size(1)}, a.dtype());
  if (a.size(1) == 0)
    kernels::fill(0, out);
  else if (out.numel() > 0)
    kernels::matmul_of_squares(a, b, out);
  return out;
}

}  // namespace gradus
