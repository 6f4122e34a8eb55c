// Walks of elementwise kernels over tensors of any strides: the kernel sees flat arrays only. Private to core/cpu.
#pragma once

#include <array>
#include <cstdint>
#include <type_traits>

#include "core/tensor.h"

namespace gradus::cpu {

/// Elements below which a kernel stays on the calling thread.
inline constexpr int64_t elementwise_grain = 32768;

namespace detail {

inline constexpr int max_operands = 4;
using Pointers = std::array<char*, max_operands>;
using FlatBody = void (*)(void* context, const Pointers& data, uint32_t scalars, int64_t count);

/// See for_each_flat.
void run_flat(const Tensor* const* operands, int operand_count, uint32_t may_be_scalar, FlatBody body, void* context);

}  // namespace detail

/// Splits an elementwise operation on tensors of one shape (the first is the output) into
/// calls body(data, scalars, count), on several threads where there is enough work. The body sees bfloat16 as floats.
/// data[k] points at `count` consecutive elements of operand k, or at one element that stands for all where bit k of
/// `scalars` is set. Only the operands in the mask `may_be_scalar` get that form, and never all inputs of a call at
/// once. Operands that are neither consecutive nor scalar pass through a small buffer.
template <size_t N, class Body>
void for_each_flat(const std::array<const Tensor*, N>& operands, uint32_t may_be_scalar, Body&& body) {
  static_assert(N <= detail::max_operands);
  using Target = std::remove_reference_t<Body>;
  detail::run_flat(
      operands.data(), static_cast<int>(N), may_be_scalar,
      [](void* context, const detail::Pointers& data, uint32_t scalars, int64_t count) {
        (*static_cast<Target*>(context))(data, scalars, count);
      },
      const_cast<void*>(static_cast<const void*>(&body)));
}

}  // namespace gradus::cpu
