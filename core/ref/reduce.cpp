// Reference reductions, argmax, and indexing along one dimension.
#include <algorithm>
#include <vector>

#include "core/kernels.h"
#include "core/ref/loops.h"

namespace gradus::ref {
namespace {

/// Strides of `out` with 0 along the dimensions that were reduced to extent 1.
Strides reduced_strides(const Shape& out, const Strides& strides) {
  Strides result = strides;
  for (int d = 0; d < out.rank(); ++d)
    if (out[d] == 1) result[d] = 0;
  return result;
}

template <class W>
W combine(ReduceOp op, W total, W value) {
  switch (op) {
    case ReduceOp::sum:
      if constexpr (std::is_integral_v<W>)
        return static_cast<W>(static_cast<uint64_t>(total) + static_cast<uint64_t>(value));
      else
        return total + value;
    case ReduceOp::max: return value != value || value > total ? value : total;  // NaN wins, and stays
    case ReduceOp::min: return value != value || value < total ? value : total;
  }
  return total;
}

template <class W>
W neutral(ReduceOp op) {
  using Limits = std::numeric_limits<W>;
  if (op == ReduceOp::sum) return 0;
  if constexpr (Limits::has_infinity) return op == ReduceOp::max ? -Limits::infinity() : Limits::infinity();
  return op == ReduceOp::max ? Limits::min() : Limits::max();
}

}  // namespace

void reduce(ReduceOp op, const Tensor& x, Tensor& out) {
  visit_any(x.dtype(), [&]<class T>(T) {
    const T* from = pointer<T>(x);
    T* to = pointer<T>(out);
    const Strides dense = contiguous_strides(out.shape());
    std::vector<Wide<T>> totals(static_cast<size_t>(out.numel()), neutral<Wide<T>>(op));
    for_each_element<2>(x.shape(), {x.strides(), reduced_strides(out.shape(), dense)}, [&](const Offsets<2>& at) {
      Wide<T>& total = totals[static_cast<size_t>(at[1])];
      total = combine(op, total, widen(from[at[0]]));
    });
    for_each_element<2>(out.shape(), {dense, out.strides()},
                        [&](const Offsets<2>& at) { to[at[1]] = narrow<T>(totals[static_cast<size_t>(at[0])]); });
  });
}

void mean(const Tensor& x, Tensor& out) {
  Tensor terms = x;
  if (x.dtype() != out.dtype()) {
    terms = Tensor::empty_like(x, out.dtype());
    copy(x, terms);
  }
  reduce(ReduceOp::sum, terms, out);
  binary_scalar(BinaryOp::div, out, static_cast<double>(x.numel() / out.numel()), out);
}

void argmax(const Tensor& x, int dim, Tensor& out) {
  visit_any(x.dtype(), [&]<class T>(T) {
    const T* from = pointer<T>(x);
    int64_t* to = pointer<int64_t>(out);
    const int64_t count = x.shape()[dim], stride = x.strides()[dim];
    for_each_element<2>(without(x.shape(), dim), {without(x.strides(), dim), without(out.strides(), dim)},
                        [&](const Offsets<2>& at) {
                          int64_t best = 0;
                          Wide<T> largest = widen(from[at[0]]);
                          for (int64_t i = 1; i < count && largest == largest; ++i) {
                            const Wide<T> value = widen(from[at[0] + i * stride]);
                            if (value != value || value > largest) best = i, largest = value;  // the first NaN wins
                          }
                          to[at[1]] = best;
                        });
  });
}

void gather(const Tensor& x, int dim, const Tensor& index, Tensor& out) {
  visit_any(x.dtype(), [&]<class T>(T) {
    const T* from = pointer<T>(x);
    const int64_t* chosen = pointer<int64_t>(index);
    T* to = pointer<T>(out);
    Strides base = x.strides();
    base[dim] = 0;
    for_each_element<3>(out.shape(), {base, index.strides(), out.strides()},
                        [&](const Offsets<3>& at) { to[at[2]] = from[at[0] + chosen[at[1]] * x.strides()[dim]]; });
  });
}

void scatter_add(int dim, const Tensor& index, const Tensor& source, Tensor& out) {
  if (out.dtype() == DType::bfloat16) {  // rounded once, not with every addition
    Tensor terms = Tensor::empty_like(source, DType::float32), sums = Tensor::empty_like(out, DType::float32);
    copy(source, terms);
    copy(out, sums);
    scatter_add(dim, index, terms, sums);
    return copy(sums, out);
  }
  visit_any(out.dtype(), [&]<class T>(T) {
    const int64_t* chosen = pointer<int64_t>(index);
    const T* from = pointer<T>(source);
    T* to = pointer<T>(out);
    Strides base = out.strides();
    base[dim] = 0;
    for_each_element<3>(source.shape(), {index.strides(), source.strides(), base}, [&](const Offsets<3>& at) {
      T& target = to[at[2] + chosen[at[0]] * out.strides()[dim]];
      target = narrow<T>(combine(ReduceOp::sum, widen(target), widen(from[at[1]])));
    });
  });
}

}  // namespace gradus::ref
