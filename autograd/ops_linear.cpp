// Matrix products and indexing.
#include "autograd/autocast.h"
#include "autograd/gradients.h"
#include "autograd/record.h"
#include "core/check_defined.h"
#include "core/error.h"

namespace gradus {
namespace {

/// x [..., n] as a matrix [rows, n].
Shape matrix_shape(const Shape& x) {
  const int64_t columns = x.back();
  int64_t rows = 1;
  for (int d = 0; d + 1 < x.rank(); ++d) rows *= x[d];
  return {rows, columns};
}

/// The value of linear(), and its checks.
Tensor linear_value(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  check::defined("linear", x);
  check::defined("linear", weight, "the weight");
  if (weight.rank() != 2) fail(ErrorKind::shape, "linear", "weight must be [out, in], got ", weight.shape());
  if (x.rank() == 0 || x.size(-1) != weight.size(1))
    fail(ErrorKind::shape, "linear", "weight ", weight.shape(), " expects ", weight.size(1),
         " input features in the last dimension, but input is ", x.shape(), ". Is a flatten() missing?");
  if (x.dtype() != weight.dtype() && x.dtype() != DType::bfloat16)
    fail(ErrorKind::dtype, "linear", "the weight is ", weight.dtype(), ", but the input ", x.dtype(),
         ". Convert it with cast()");
  if (bias.defined() && !(bias.shape() == Shape{weight.size(0)}))
    fail(ErrorKind::shape, "linear", "weight ", weight.shape(), " expects a bias [", weight.size(0), "], got ",
         bias.shape());
  const Tensor rows = x.rank() == 2 ? x : reshape(x, matrix_shape(x.shape())), columns = transpose(weight, 0, 1);
  const bool narrow = x.dtype() == DType::bfloat16;  // summed in float32 with the bias, then rounded
  Tensor y = narrow ? matmul(rows, columns, DType::float32) : matmul(rows, columns);
  if (bias.defined()) axpby_(1, expand(bias, y.shape()), 1, y);
  y = cast(y, x.dtype());
  if (x.rank() == 2) return y;
  Shape shape = x.shape();
  shape[x.rank() - 1] = weight.size(0);
  return reshape(y, shape);
}

/// g times the squares of w, without a tensor of these squares where the dtypes are one.
Tensor times_squares(const Tensor& g, const Tensor& w, DType dtype) {
  return g.dtype() == dtype && w.dtype() == dtype ? matmul_of_squares(g, w) : matmul(g, square(w), dtype);
}

auto told(int64_t dim, const Tensor& index) {
  return [dim, &index] { return Attributes{{"dim", dim}, {"index", index}}; };
}

Var as_matrix(const Var& x) { return x.rank() == 2 ? x : reshape(x, matrix_shape(x.shape())); }

}  // namespace

Var linear(const Var& x, const Var& weight, const Var& bias) {
  if (rounds(x)) return linear(cast(x, DType::bfloat16), weight, bias);
  return record("linear", linear_value(x.value(), weight.value(), bias.value()), {x, weight, bias},
                multilinear([x = Saved(x, weight.requires_grad()), w = Saved(weight, x.requires_grad())](const Var& gy,
                                                                                                         Inputs in) {
                  const Var g = as_matrix(gy);
                  if (in.needs(0)) {
                    in[0] = in.squared() ? times_squares(g.value(), w.plain(in).value(), in.dtype(0))
                                         : product(g, w.get(in), in.dtype(0));
                    if (gy.rank() != 2) in[0] = reshape(in[0], in.shape(0));
                  }
                  if (in.needs(1)) in[1] = product(transpose(g, 0, 1), as_matrix(x.get(in)), in.dtype(1));
                  if (in.needs(2)) in[2] = sum(cast(g, in.dtype(2)), {0});
                }));
}

namespace {

Var record_product(Tensor y, const Var& a, const Var& b) {
  return record(
      "matmul", std::move(y), {a, b},
      multilinear([a = Saved(a, b.requires_grad()), b = Saved(b, a.requires_grad())](const Var& gy, Inputs in) {
        const auto gradient = [&](size_t i, const Var& left, const Var& right) {
          return sum_to(product(left, right, in.dtype(i)), in.shape(i));
        };
        if (in.needs(0)) in[0] = gradient(0, gy, transpose(b.get(in), -1, -2));
        if (in.needs(1)) in[1] = gradient(1, transpose(a.get(in), -1, -2), gy);
      }));
}

/// Adds gy to in[0] at index along dim: the gradient of gather().
void add_scattered(const Var& gy, Inputs in, int64_t dim, const Tensor& index) {
  if (recording()) {
    in[0] = scatter_add(Tensor::zeros(in.shape(0), gy.dtype()), dim, index, gy);
    return;
  }
  if (!in[0].defined()) in[0] = Tensor::zeros(in.shape(0), gy.dtype());
  Tensor sum = in[0].value();
  scatter_add_(sum, dim, index, gy.value());
}

}  // namespace

Var product(const Var& a, const Var& b, DType dtype) {
  return record_product(matmul(a.value(), b.value(), dtype), a, b);
}

Var matmul(const Var& a, const Var& b) {
  if (rounds(a) || rounds(b)) return matmul(cast(a, DType::bfloat16), cast(b, DType::bfloat16));
  return record_product(matmul(a.value(), b.value()), a, b);
}

Var embedding(const Var& weight, const Tensor& index) {
  const Tensor y = embedding(weight.value(), index);
  return record("embedding", y, {weight}, selects_part([index = Saved(index)](const Var& gy, Inputs in) {
                  const Tensor& rows = index.get(in).value();
                  const Shape every{rows.numel(), in.shape(0)[1]};
                  add_scattered(reshape(gy, every), in, 0, expand(reshape(rows, {rows.numel(), 1}), every));
                }),
                [&] {
                  return Attributes{{"index", index}};
                });
}

Var gather(const Var& x, int64_t dim, const Tensor& index) {
  return record("gather", gather(x.value(), dim, index), {x},
                selects_part([dim, index = Saved(index)](const Var& gy, Inputs in) {
                  add_scattered(gy, in, dim, index.get(in).value());
                }),
                told(dim, index));
}

Var index_select(const Var& x, int64_t dim, const Tensor& index) {
  return record("index_select", index_select(x.value(), dim, index), {x},
                selects_part([dim, index = Saved(index)](const Var& gy, Inputs in) {
                  const Tensor& positions = index.get(in).value();
                  Shape column = Dims::filled(gy.rank(), 1);
                  column[dim < 0 ? dim + gy.rank() : dim] = positions.numel();
                  add_scattered(gy, in, dim, expand(reshape(positions, column), gy.shape()));
                }),
                told(dim, index));
}

Var scatter_add(const Var& x, int64_t dim, const Tensor& index, const Var& source) {
  if (mixed(x, source)) return scatter_add(cast(x, DType::float32), dim, index, cast(source, DType::float32));
  return record("scatter_add", scatter_add(x.value(), dim, index, source.value()), {x, source},
                selects([dim, index = Saved(index)](const Var& gy, Inputs in) {
                  if (in.needs(0)) in[0] = gy;
                  if (in.needs(1)) in[1] = gather(gy, dim, index.get(in).value());
                }),
                told(dim, index));
}

}  // namespace gradus
