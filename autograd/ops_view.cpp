// Views and copies that move elements without computing: every gradient moves them back.
#include <algorithm>

#include "autograd/autocast.h"
#include "autograd/gradients.h"
#include "autograd/record.h"
#include "core/error.h"

namespace gradus {
namespace {

/// 0, 1, ..., rank - 1 with a and b exchanged.
Dims swapped(int rank, int64_t a, int64_t b) {
  Dims order;
  for (int d = 0; d < rank; ++d) order.push_back(d);
  std::swap(order[normalize_dim("transpose", a, rank)], order[normalize_dim("transpose", b, rank)]);
  return order;
}

/// The parts as they are, or all in float32 where Autocast meets both dtypes.
std::vector<Var> in_one_dtype(std::span<const Var> parts) {
  std::vector<Var> result(parts.begin(), parts.end());
  const auto differs = [&](const Var& part) { return mixed(part, parts[0]); };
  if (std::any_of(parts.begin(), parts.end(), differs))
    for (Var& part : result) part = cast(part, DType::float32);
  return result;
}

/// Adds gy to in[0] at begin, begin + step, ... before end along dim: the gradient of slice().
void add_slice(const Var& gy, Inputs in, int64_t dim, int64_t begin, int64_t end, int64_t step) {
  if (recording() || !in[0].defined()) {
    in[0] = slice_grad(gy, in.shape(0), dim, begin, end, step);
    return;
  }
  Tensor part = slice(in[0].value(), dim, begin, end, step);
  add_(part, gy.value());
}

/// x in slices along dim, which follow each other and are as long as these parts.
std::vector<Var> slices_like(const std::vector<Tensor>& parts, const Var& x, int64_t dim) {
  std::vector<Var> slices;
  int64_t begin = 0;
  for (const Tensor& part : parts) {
    slices.push_back(slice(x, dim, begin, begin + part.size(dim)));
    begin += part.size(dim);
  }
  return slices;
}

}  // namespace

Var reshape(const Var& x, const Shape& shape) {
  return record("reshape", reshape(x.value(), shape), {x},
                selects([](const Var& gy, Inputs in) { in[0] = reshape(gy, in.shape(0)); }));
}

Var flatten(const Var& x, int64_t from) {
  return record("flatten", flatten(x.value(), from), {x},
                selects([](const Var& gy, Inputs in) { in[0] = reshape(gy, in.shape(0)); }));
}

Var transpose(const Var& x, int64_t a, int64_t b) {
  return record("transpose", transpose(x.value(), a, b), {x},
                selects([a, b](const Var& gy, Inputs in) { in[0] = transpose(gy, a, b); }), [=, rank = x.rank()] {
                  return Attributes{{"order", swapped(rank, a, b)}};
                });
}

Var permute(const Var& x, const Dims& order) {
  return record("permute", permute(x.value(), order), {x}, selects([order](const Var& gy, Inputs in) {
                  Dims inverse = order;
                  for (int i = 0; i < order.rank(); ++i) inverse[normalize_dim("permute", order[i], order.rank())] = i;
                  in[0] = permute(gy, inverse);
                }),
                [&] {
                  return Attributes{{"order", order}};
                });
}

Var slice(const Var& x, int64_t dim, int64_t begin, int64_t end, int64_t step) {
  return record("slice", slice(x.value(), dim, begin, end, step), {x},
                selects_part([=](const Var& gy, Inputs in) { add_slice(gy, in, dim, begin, end, step); }), [=] {
                  return Attributes{{"dim", dim}, {"begin", begin}, {"end", end}, {"step", step}};
                });
}

Var slice_grad(const Var& gy, const Shape& shape, int64_t dim, int64_t begin, int64_t end, int64_t step) {
  const bool channels_last = shape.rank() == 4 && gy.value().is_channels_last();
  Tensor gx = Tensor::empty(shape, gy.dtype(), channels_last ? Layout::channels_last : Layout::contiguous);
  fill_(gx, 0);
  Tensor part = slice(gx, dim, begin, end, step);
  copy_(part, gy.value());
  return record("slice_grad", std::move(gx), {gy},
                selects([=](const Var& ggx, Inputs in) { in[0] = slice(ggx, dim, begin, end, step); }));
}

Var select(const Var& x, int64_t dim, int64_t position) {
  return record("select", select(x.value(), dim, position), {x},
                selects_part([dim, position](const Var& gy, Inputs in) {
                  const Shape& shape = in.shape(0);
                  const int d = normalize_dim("select", dim, shape.rank());
                  const int64_t begin = position < 0 ? position + shape[d] : position;
                  add_slice(unsqueeze(gy, d), in, d, begin, begin + 1, 1);
                }),
                [=] {
                  return Attributes{{"dim", dim}, {"position", position}};
                });
}

Var squeeze(const Var& x, int64_t dim) {
  return record("squeeze", squeeze(x.value(), dim), {x},
                selects([](const Var& gy, Inputs in) { in[0] = reshape(gy, in.shape(0)); }));
}

Var unsqueeze(const Var& x, int64_t dim) {
  return record("unsqueeze", unsqueeze(x.value(), dim), {x},
                selects([](const Var& gy, Inputs in) { in[0] = reshape(gy, in.shape(0)); }));
}

Var expand(const Var& x, const Shape& shape) {
  return record("expand", expand(x.value(), shape), {x},
                selects([](const Var& gy, Inputs in) { in[0] = sum_to(gy, in.shape(0)); }));
}

Var concat(std::span<const Var> given, int64_t dim) {
  const std::vector<Var> parts = in_one_dtype(given);
  std::vector<Tensor> values;
  for (const Var& part : parts) values.push_back(part.value());
  Tensor y = concat(std::span<const Tensor>(values), dim);
  std::vector<int64_t> extents;
  for (const Tensor& value : values) extents.push_back(value.size(dim));
  return record("concat", std::move(y), std::span<const Var>(parts),
                selects([dim, extents = std::move(extents)](const Var& gy, Inputs in) {
                  for (size_t i = 0, begin = 0; i < in.size(); begin += static_cast<size_t>(extents[i++]))
                    if (in.needs(i))
                      in[i] = slice(gy, dim, static_cast<int64_t>(begin), static_cast<int64_t>(begin) + extents[i]);
                }),
                [=] {
                  return Attributes{{"dim", dim}};
                });
}

Var concat(const std::vector<Var>& parts, int64_t dim) { return concat(std::span<const Var>(parts), dim); }

Var stack(const std::vector<Var>& given, int64_t dim) {
  const std::vector<Var> parts = in_one_dtype(given);
  std::vector<Tensor> values;
  for (const Var& part : parts) values.push_back(part.value());
  return record("stack", stack(values, dim), std::span<const Var>(parts), selects([dim](const Var& gy, Inputs in) {
                  for (size_t i = 0; i < in.size(); ++i)
                    if (in.needs(i)) in[i] = select(gy, dim, static_cast<int64_t>(i));
                }),
                [=] {
                  return Attributes{{"dim", dim}};
                });
}

std::vector<Var> split(const Var& x, const std::vector<int64_t>& extents, int64_t dim) {
  return slices_like(split(x.value(), extents, dim), x, dim);
}

std::vector<Var> chunk(const Var& x, int64_t count, int64_t dim) {
  return slices_like(chunk(x.value(), count, dim), x, dim);
}

std::vector<Var> unbind(const Var& x, int64_t dim) {
  std::vector<Var> parts;
  const auto count = static_cast<int64_t>(unbind(x.value(), dim).size());
  for (int64_t i = 0; i < count; ++i) parts.push_back(select(x, dim, i));
  return parts;
}

Var pad(const Var& x, const Dims& before, const Dims& after, double value) {
  return record("pad", pad(x.value(), before, after, value), {x}, selects([before, after](const Var& gy, Inputs in) {
                  in[0] = gy;
                  for (int d = 0; d < before.rank(); ++d)
                    if (before[d] != 0 || after[d] != 0) in[0] = slice(in[0], d, before[d], before[d] + in.shape(0)[d]);
                }),
                [&] {
                  return Attributes{{"before", before}, {"after", after}, {"value", value}};
                });
}

Var contiguous(const Var& x, Layout layout) {
  Tensor y = contiguous(x.value(), layout);
  if (y.storage() == x.value().storage()) return x;
  return record("contiguous", std::move(y), {x}, selects([](const Var& gy, Inputs in) { in[0] = gy; }));
}

Var cast(const Var& x, DType dtype) {
  if (x.dtype() == dtype) return x;
  if (x.requires_grad() && !is_floating(dtype))
    fail(ErrorKind::dtype, "cast", "a variable that requires a gradient can become float32, float64 or bfloat16, but ",
         dtype, " has no gradients. Cast its value() or detach() instead");
  return record("cast", cast(x.value(), dtype), {x},
                selects([](const Var& gy, Inputs in) { in[0] = cast(gy, in.dtype(0)); }));
}

}  // namespace gradus
