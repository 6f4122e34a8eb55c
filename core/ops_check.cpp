// The checks shared by the operations, and what each elementwise operation accepts.
#include "core/ops_check.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/error.h"
#include "core/step_graph.h"

namespace gradus::check {
namespace {

enum class Accepts : uint8_t { floating, numbers, boolean, anything };

struct Rule {
  const char* name;
  Accepts accepts;
  bool gives_bool;
};

constexpr Rule unary_rules[] = {
#define GRADUS_UNARY(name, accepts) {#name, Accepts::accepts, Accepts::accepts == Accepts::boolean},
#include "core/elementwise.inc"
#undef GRADUS_UNARY
};

constexpr Rule binary_rules[] = {
#define GRADUS_BINARY(name, text, accepts) {text, Accepts::accepts, false},
#define GRADUS_COMPARISON(name, text, accepts) {text, Accepts::accepts, true},
#include "core/elementwise.inc"
#undef GRADUS_COMPARISON
#undef GRADUS_BINARY
};

constexpr const Rule& rule(UnaryOp op) { return unary_rules[static_cast<int>(op)]; }
constexpr const Rule& rule(BinaryOp op) { return binary_rules[static_cast<int>(op)]; }

void accepts(const Rule& rule, const Tensor& x) {
  const DType dtype = x.dtype();
  switch (rule.accepts) {
    case Accepts::floating:
      if (is_floating(dtype)) return;
      fail_floating(rule.name, x);
    case Accepts::numbers:
      if (dtype != DType::boolean) return;
      fail(ErrorKind::dtype, rule.name, "needs numbers, got bool ", x.shape(),
           "; cast it first, or use logical_and, logical_or, logical_not");
    case Accepts::boolean:
      if (dtype == DType::boolean) return;
      fail(ErrorKind::dtype, rule.name, "needs bool, got ", dtype, " ", x.shape(),
           "; compare it first, as in not_equal(x, y)");
    case Accepts::anything: return;
  }
}

}  // namespace

void fail_undefined(const char* op, const char* role) {
  fail(ErrorKind::value, op, role, " is an undefined tensor; a default-constructed Tensor holds nothing");
}
void fail_floating(const char* op, const Tensor& x) {
  fail(ErrorKind::dtype, op, "computes in float32 or float64, got ", x.dtype(), " ", x.shape(),
       "; cast it first, as in cast(x, DType::float32)");
}
void fail_same_dtype(const char* op, const Tensor& a, const Tensor& b) {
  fail(ErrorKind::dtype, op, "operands need one dtype, got ", a.dtype(), " ", a.shape(), " and ", b.dtype(), " ",
       b.shape(), "; nothing is promoted silently: cast one of them");
}
void fail_shape(const char* op, const char* role, const Tensor& x, const Shape& expected) {
  fail(ErrorKind::shape, op, role, " needs shape ", expected, ", got ", x.shape());
}
void fail_rank(const char* op, const char* role, const Tensor& x, int rank, const char* layout) {
  fail(ErrorKind::shape, op, role, " needs ", rank, " dimensions ", layout, ", got ", x.shape());
}

void fail_extents(const char* op, const Shape& shape, DType dtype) {
  if (std::any_of(shape.begin(), shape.end(), [](int64_t extent) { return extent < 0; }))
    fail(ErrorKind::shape, op, "extents must not be negative, got ", shape);
  fail(ErrorKind::shape, op, "no memory can hold ", dtype, " elements of shape ", shape,
       ": their bytes do not even fit into 63 bits");
}

void optional_vector(const char* op, const char* role, const Tensor& vector, int64_t n, const Tensor& x) {
  if (!vector.defined()) return;
  shape(op, role, vector, {n});
  parameter(op, role, vector, x);
}

void parameter(const char* op, const char* role, const Tensor& parameter, const Tensor& x) {
  if (x.dtype() != DType::bfloat16) return same_dtype(op, x, parameter);
  if (parameter.dtype() != DType::float32)
    fail(ErrorKind::dtype, op, role, " beside bfloat16 activations needs float32, got ", parameter.dtype(), " ",
         parameter.shape());
}

void weight(const char* op, const Tensor& weight, const Tensor& x) {
  defined(op, weight, "the weight");
  if (weight.dtype() != x.dtype()) parameter(op, "the weight", weight, x);
}

const char* name(UnaryOp op) { return rule(op).name; }
const char* name(BinaryOp op) { return rule(op).name; }

void unary(UnaryOp op, const Tensor& x) {
  const Rule& r = rule(op);
  defined(r.name, x);
  accepts(r, x);
}

DType binary(BinaryOp op, const Tensor& a, const Tensor& b) {
  const Rule& r = rule(op);
  defined(r.name, a, "the first operand");
  defined(r.name, b, "the second operand");
  same_dtype(r.name, a, b);
  accepts(r, a);
  return r.gives_bool ? DType::boolean : a.dtype();
}

DType binary(BinaryOp op, const Tensor& a) {
  const Rule& r = rule(op);
  defined(r.name, a);
  accepts(r, a);
  return r.gives_bool ? DType::boolean : a.dtype();
}

void scalar(const char* op, DType dtype, double value) {
  if (is_floating(dtype)) return;
  double low = 0, high = 1;  // bool
  if (dtype == DType::uint8) high = 255;
  if (dtype == DType::int32) low = std::numeric_limits<int32_t>::min(), high = std::numeric_limits<int32_t>::max();
  if (dtype == DType::int64) low = -0x1p63, high = 0x1.fffffffffffffp62;  // the last double below 2^63
  if (!(value >= low && value <= high && value == std::trunc(value)))
    fail(ErrorKind::value, op, dtype, " elements cannot hold the scalar ", value,
         "; cast the tensor to a type that can");
}

void writable(const char* op, const Tensor& x) {
  defined(op, x, "the tensor to write");
  for (int d = 0; d < x.rank() && x.numel() > 0; ++d)
    if (x.strides()[d] == 0 && x.shape()[d] > 1)
      fail(ErrorKind::value, op, "cannot write into an expanded tensor: the elements along dimension ", d, " of ",
           x.shape(), " share memory; clone it first");
  x.storage().wait_for_readers();
}

namespace {

/// Every element of memory once, where expand() repeated it: an index of rows has one element for each row.
Tensor without_repeats(const Tensor& x) {
  Shape shape = x.shape();
  for (int d = 0; d < x.rank(); ++d)
    if (x.strides()[d] == 0) shape[d] = 1;
  return Tensor(x.storage(), x.offset(), shape, x.strides(), x.dtype());
}

/// Where the value stands first.
Shape place_of(int64_t value, const Tensor& x) {
  const std::vector<int64_t> values = x.to_vector<int64_t>();
  auto position = std::find(values.begin(), values.end(), value) - values.begin();
  Shape place = x.shape();
  for (int d = x.rank() - 1; d >= 0; --d) {
    place[d] = position % x.shape()[d];
    position /= x.shape()[d];
  }
  return place;
}

}  // namespace

void parts(const char* op, const Tensor& x, const std::vector<int64_t>& extents, int64_t dim) {
  defined(op, x);
  const int64_t whole = x.shape()[normalize_dim(op, dim, x.rank())];
  int64_t rest = whole;
  for (const int64_t extent : extents) {
    if (extent < 0) fail(ErrorKind::value, op, "extents are not negative, got ", extent);
    rest -= std::min(extent, rest + 1);
  }
  if (rest != 0)
    fail(ErrorKind::value, op, "the ", extents.size(), " extents must add up to ", whole, ", that of ", x.shape(),
         " along dimension ", dim);
}

std::vector<int64_t> equal_parts(const char* op, const Tensor& x, int64_t count, int64_t dim) {
  defined(op, x);
  const int64_t whole = x.shape()[normalize_dim(op, dim, x.rank())];
  if (count < 1 || whole % count != 0)
    fail(ErrorKind::value, op, "cannot cut the extent ", whole, " along dimension ", dim, " of ", x.shape(), " into ",
         count, " equal parts; split() takes unequal ones");
  return std::vector<int64_t>(static_cast<size_t>(count), whole / count);
}

void indices(const char* op, const Tensor& index, int64_t extent) {
  defined(op, index, "the index");
  if (index.dtype() != DType::int64)
    fail(ErrorKind::dtype, op, "the index needs int64, got ", index.dtype(), " ", index.shape(), "; cast it first");
  if (index.numel() == 0 || capturing()) return;  // what is captured was checked when it was done before
  const Tensor each = without_repeats(index);
  for (const ReduceOp extremum : {ReduceOp::min, ReduceOp::max}) {
    Tensor bound = Tensor::empty(Dims::filled(index.rank(), 1), DType::int64);
    kernels::reduce(extremum, each, bound);
    const auto value = static_cast<int64_t>(bound.item());
    if (value < 0 || value >= extent)
      fail(ErrorKind::value, op, "index ", value, " at ", place_of(value, each), " lies outside [0, ", extent, ")");
  }
}

}  // namespace gradus::check
