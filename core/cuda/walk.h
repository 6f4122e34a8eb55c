// From the number of an element to its place in several tensors of one shape and any strides.
#pragma once

#include <array>

#include "core/anywhere.h"
#include "core/tensor.h"

namespace gradus::cuda {

/// Places of element i in N tensors. Which element has number i is the walk's own choice, made so that neighbours lie
/// close together in the first tensor.
template <int N>
struct Walk {
  int rank = 1;
  int64_t count = 1;
  int64_t extent[max_rank] = {1};
  int64_t stride[N][max_rank] = {};

  /// Whether the tensors are flat arrays: element i lies at place i of each.
  bool flat() const {
    if (rank != 1) return false;
    for (int k = 0; k < N; ++k)
      if (stride[k][0] != 1 && count > 1) return false;
    return true;
  }

  GRADUS_ANYWHERE void places(int64_t i, int64_t (&at)[N]) const {
    for (int k = 0; k < N; ++k) at[k] = 0;
    if (count <= 0x7fffffff) {  // divisions of 64-bit integers cost several times as much
      auto rest = static_cast<uint32_t>(i);
      for (int d = rank - 1; d > 0; --d) {
        const auto size = static_cast<uint32_t>(extent[d]);
        const uint32_t next = rest / size, position = rest - next * size;
        for (int k = 0; k < N; ++k) at[k] += position * stride[k][d];
        rest = next;
      }
      for (int k = 0; k < N; ++k) at[k] += rest * stride[k][0];
    } else {
      int64_t rest = i;
      for (int d = rank - 1; d > 0; --d) {
        const int64_t next = rest / extent[d], position = rest - next * extent[d];
        for (int k = 0; k < N; ++k) at[k] += position * stride[k][d];
        rest = next;
      }
      for (int k = 0; k < N; ++k) at[k] += rest * stride[k][0];
    }
  }
};

/// The walk over `shape` in the memory order of the first strides, with neighbouring dimensions merged where all agree.
template <int N>
Walk<N> make_walk(const Shape& shape, const std::array<Strides, N>& strides) {
  int order[max_rank], used = 0;
  Walk<N> walk;
  walk.count = numel(shape);
  for (int d = 0; d < shape.rank(); ++d) {
    if (shape[d] == 1) continue;
    int at = used++;
    for (; at > 0 && strides[0][order[at - 1]] < strides[0][d]; --at) order[at] = order[at - 1];
    order[at] = d;
  }
  int rank = 0;
  for (int i = 0; i < used; ++i) {
    const int d = order[i];
    bool merges = rank > 0;
    for (int k = 0; merges && k < N; ++k) merges = walk.stride[k][rank - 1] == strides[k][d] * shape[d];
    const int to = merges ? rank - 1 : rank++;
    walk.extent[to] = merges ? walk.extent[to] * shape[d] : shape[d];
    for (int k = 0; k < N; ++k) walk.stride[k][to] = strides[k][d];
  }
  walk.rank = rank > 0 ? rank : 1;
  return walk;
}

/// The same over tensors of one shape.
template <class... Tensors>
auto walk_over(const Tensor& first, const Tensors&... others) {
  return make_walk<1 + static_cast<int>(sizeof...(others))>(first.shape(), {first.strides(), others.strides()...});
}

}  // namespace gradus::cuda
