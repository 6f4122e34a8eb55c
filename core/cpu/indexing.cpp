// Indexing along one dimension: whole rows at a time where the index is one of rows, on several threads that share no
// part of the result.
#include <cstring>

#include "core/cpu/layout.h"
#include "core/cpu/parts.h"
#include "core/kernels.h"
#include "core/ref/loops.h"

namespace gradus::kernels {

namespace {

/// Strides of a tensor whose position along dimension `dim` comes from the index.
Strides without_stride(const Tensor& x, int dim) {
  Strides strides = x.strides();
  strides[dim] = 0;
  return strides;
}

template <class T>
void gather_part(const Tensor& x, int dim, const Tensor& index, Tensor& out) {
  const int64_t stride = x.strides()[dim];
  const auto* chosen = static_cast<const int64_t*>(index.raw());
  const auto* from = static_cast<const T*>(x.raw());
  auto* to = static_cast<T*>(out.raw());
  ref::for_each_run<3>(out.shape(), {index.strides(), without_stride(x, dim), out.strides()},
                       [&](const ref::Offsets<3>& at, const ref::Offsets<3>& step, int64_t count) {
                         const int64_t* i = chosen + at[0];
                         const T* source = from + at[1];
                         T* target = to + at[2];
                         if (step[0] == 0 && step[1] == 1 && step[2] == 1) {
                           std::memcpy(target, source + *i * stride, static_cast<size_t>(count) * sizeof(T));
                         } else if (step[0] == 1 && step[1] == 0 && step[2] == 1 && stride == 1) {
                           for (int64_t k = 0; k < count; ++k) target[k] = source[i[k]];
                         } else {
                           for (int64_t k = 0; k < count; ++k)
                             target[k * step[2]] = source[k * step[1] + i[k * step[0]] * stride];
                         }
                       });
}

template <class T>
void scatter_part(int dim, const Tensor& index, const Tensor& source, Tensor& out) {
  const int64_t stride = out.strides()[dim];
  const auto* chosen = static_cast<const int64_t*>(index.raw());
  const auto* from = static_cast<const T*>(source.raw());
  auto* to = static_cast<T*>(out.raw());
  ref::for_each_run<3>(source.shape(), {index.strides(), source.strides(), without_stride(out, dim)},
                       [&](const ref::Offsets<3>& at, const ref::Offsets<3>& step, int64_t count) {
                         const int64_t* i = chosen + at[0];
                         const T* values = from + at[1];
                         T* target = to + at[2];
                         if (step[0] == 0 && step[1] == 1 && step[2] == 1) {
                           T* row = target + *i * stride;
                           for (int64_t k = 0; k < count; ++k) row[k] += values[k];
                         } else {
                           for (int64_t k = 0; k < count; ++k)
                             target[k * step[2] + i[k * step[0]] * stride] += values[k * step[1]];
                         }
                       });
}

}  // namespace

void gather(const Tensor& x, int dim, const Tensor& index, Tensor& out) {
  if (out.numel() == 0) return;
  cpu::for_each_part(out.shape(), cpu::longest_dim(out.shape()), [&](const cpu::Part& part) {
    const Tensor which = part.of(index), from = part.dim == dim ? x : part.of(x);
    Tensor to = part.of(out);
    switch (size_of(x.dtype())) {
      case 1: return gather_part<uint8_t>(from, dim, which, to);
      case 2: return gather_part<uint16_t>(from, dim, which, to);
      case 4: return gather_part<uint32_t>(from, dim, which, to);
      default: return gather_part<uint64_t>(from, dim, which, to);
    }
  });
}

// What falls on one element is added in the order of the index, so that dimension is not cut.
void scatter_add(int dim, const Tensor& index, const Tensor& source, Tensor& out) {
  if (source.numel() == 0) return;
  if (!is_floating(out.dtype())) return ref::scatter_add(dim, index, source, out);
  if (out.dtype() == DType::bfloat16) {  // rounded once, not with every addition
    Tensor sums = cpu::in_float32(out);
    kernels::scatter_add(dim, index, cpu::in_float32(source), sums);
    return kernels::copy(sums, out);
  }
  const auto add = [&](const Tensor& which, const Tensor& from, Tensor& to) {
    if (to.dtype() == DType::float64) return scatter_part<double>(dim, which, from, to);
    scatter_part<float>(dim, which, from, to);
  };
  const int split = cpu::longest_dim_but(dim, source.shape());
  if (split == dim) return add(index, source, out);
  cpu::for_each_part(source.shape(), split, [&](const cpu::Part& part) {
    Tensor to = part.of(out);
    add(part.of(index), part.of(source), to);
  });
}

}  // namespace gradus::kernels
