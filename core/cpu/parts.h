// Parts of tensors for several threads, by which the reference's loops share out their work. Private to core/cpu.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/parallel.h"
#include "core/tensor.h"

namespace gradus::cpu {

/// A stretch of one dimension of a shape.
struct Part {
  int dim;
  int64_t begin, count;

  Tensor of(const Tensor& x) const {
    Shape shape = x.shape();
    shape[dim] = count;
    return Tensor(x.storage(), x.offset() + begin * x.strides()[dim], shape, x.strides(), x.dtype());
  }
};

/// The longest dimension of a shape that has any; `other` only where there is none besides.
inline int longest_dim_but(int other, const Shape& shape) {
  int longest = other == 0 && shape.rank() > 1 ? 1 : 0;
  for (int d = 1; d < shape.rank(); ++d)
    if (d != other && shape[d] > shape[longest]) longest = d;
  return longest;
}
inline int longest_dim(const Shape& shape) { return longest_dim_but(-1, shape); }

/// Calls body(part) for parts of a shape that has elements along dimension `dim`, on several threads where there is
/// enough work.
template <class Body>
void for_each_part(const Shape& shape, int dim, Body body) {
  constexpr int64_t grain_elements = 16384;
  const int64_t each = numel(shape) / shape[dim];
  parallel_for(shape[dim], std::max<int64_t>(1, grain_elements / each), [&](int64_t begin, int64_t end) {
    body(Part{dim, begin, end - begin});
  });
}

/// A kernel of the reference that reads and writes elements at the same position: kernel(output, inputs...), in parts.
template <class Kernel, class... Inputs>
void by_parts(Tensor& out, Kernel kernel, const Inputs&... inputs) {
  if (out.rank() == 0 || out.numel() == 0) return kernel(out, inputs...);
  for_each_part(out.shape(), longest_dim(out.shape()), [&](const Part& part) {
    Tensor to = part.of(out);
    kernel(to, part.of(inputs)...);
  });
}

}  // namespace gradus::cpu
