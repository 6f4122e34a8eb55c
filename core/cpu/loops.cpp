// Elementwise walks: dimensions are merged until each operand is a flat array, one element, or short rows that are
// gathered into a buffer.
#include "core/cpu/loops.h"

#include <algorithm>
#include <cstring>

#include "core/cpu/vector/kernels.h"
#include "core/parallel.h"

namespace gradus::cpu::detail {

namespace {

/// Bytes of a buffer: four operands' fit the L1 cache.
constexpr int64_t buffer_bytes = 4096;
/// Rows at least this long are worth a kernel call each.
constexpr int64_t long_row = 192;

/// Copies elements of one size between a buffer and strided memory.
template <class Element>
void copy_strided(const char* from, int64_t from_stride, char* to, int64_t to_stride, int64_t count) {
  const auto* source = reinterpret_cast<const Element*>(from);
  auto* target = reinterpret_cast<Element*>(to);
  for (int64_t i = 0; i < count; ++i) target[i * to_stride] = source[i * from_stride];
}

void copy_strided(size_t element, const char* from, int64_t from_stride, char* to, int64_t to_stride, int64_t count) {
  if (from_stride == 1 && to_stride == 1) {
    std::memcpy(to, from, static_cast<size_t>(count) * element);
  } else if (element == 1) {
    copy_strided<uint8_t>(from, from_stride, to, to_stride, count);
  } else if (element == 4) {
    copy_strided<uint32_t>(from, from_stride, to, to_stride, count);
  } else {
    copy_strided<uint64_t>(from, from_stride, to, to_stride, count);
  }
}

struct Operand {
  char* data;
  int64_t element;         // bytes
  int64_t buffer_element;  // bytes in a buffer, where bfloat16 are floats
  bool narrow;             // bfloat16
  int64_t strides[max_rank];
};

void fill_buffer(const Operand& operand, const char* memory, int64_t stride, char* buffer, int64_t count) {
  if (!operand.narrow) return copy_strided(static_cast<size_t>(operand.element), memory, stride, buffer, 1, count);
  const auto* from = reinterpret_cast<const bfloat16*>(memory);
  auto* to = reinterpret_cast<float*>(buffer);
  if (stride == 1) return vector::kernels().widen(from, to, count);
  for (int64_t i = 0; i < count; ++i) to[i] = static_cast<float>(from[i * stride]);
}

void empty_buffer(const Operand& operand, const char* buffer, char* memory, int64_t stride, int64_t count) {
  if (!operand.narrow) return copy_strided(static_cast<size_t>(operand.element), buffer, 1, memory, stride, count);
  const auto* from = reinterpret_cast<const float*>(buffer);
  auto* to = reinterpret_cast<bfloat16*>(memory);
  if (stride == 1) return vector::kernels().narrow(from, to, count);
  for (int64_t i = 0; i < count; ++i) to[i * stride] = bfloat16(from[i]);
}

/// The common iteration space: dimensions merged as far as every operand allows, outermost stride of the output first.
struct Walk {
  int operand_count, rank = 0;
  uint32_t may_be_scalar;
  FlatBody body;
  void* context;
  int64_t count = 1, buffer_elements = buffer_bytes;
  int64_t extents[max_rank];
  Operand operands[max_operands];

  Walk(const Tensor* const* tensors, int tensors_count, uint32_t scalars, FlatBody call, void* with)
      : operand_count(tensors_count), may_be_scalar(scalars), body(call), context(with) {
    const Tensor& out = *tensors[0];
    int order[max_rank], used = 0;
    for (int d = 0; d < out.rank(); ++d) {
      const int64_t extent = out.shape()[d];
      count *= extent;
      if (extent == 1) continue;
      int at = used++;
      for (; at > 0 && out.strides()[order[at - 1]] < out.strides()[d]; --at) order[at] = order[at - 1];
      order[at] = d;
    }
    for (int k = 0; k < operand_count; ++k) {
      operands[k].data = static_cast<char*>(tensors[k]->raw());
      operands[k].element = static_cast<int64_t>(size_of(tensors[k]->dtype()));
      operands[k].narrow = tensors[k]->dtype() == DType::bfloat16;
      operands[k].buffer_element = operands[k].narrow ? 4 : operands[k].element;
      buffer_elements = std::min(buffer_elements, buffer_bytes / operands[k].buffer_element);
    }
    for (int i = 0; i < used; ++i) {
      const int64_t extent = out.shape()[order[i]];
      bool merges = rank > 0;
      for (int k = 0; k < operand_count && merges; ++k)
        merges = operands[k].strides[rank - 1] == tensors[k]->strides()[order[i]] * extent;
      if (!merges) extents[rank++] = 1;
      extents[rank - 1] *= extent;
      for (int k = 0; k < operand_count; ++k) operands[k].strides[rank - 1] = tensors[k]->strides()[order[i]];
    }
    if (rank == 0) {
      rank = 1;
      extents[0] = 1;
      for (int k = 0; k < operand_count; ++k) operands[k].strides[0] = 1;
    }
  }

  int64_t inner() const { return extents[rank - 1]; }

  /// Byte address of element `position` (linear, in the order of the walk) of an operand.
  char* address(const Operand& operand, int64_t position) const {
    int64_t offset = 0;
    for (int d = rank - 1; d >= 0; --d) {
      offset += position % extents[d] * operand.strides[d];
      position /= extents[d];
    }
    return operand.data + offset * operand.element;
  }

  bool is_linear(const Operand& operand) const {
    int64_t expected = 1;
    for (int d = rank - 1; d >= 0; --d) {
      if (operand.strides[d] != expected) return false;
      expected *= extents[d];
    }
    return true;
  }
  /// Whether it repeats with every row.
  bool is_periodic(const Operand& operand) const {
    return std::all_of(operand.strides, operand.strides + rank - 1, [](int64_t stride) { return stride == 0; });
  }

  /// Moves elements [begin, begin + length) between an operand and a buffer.
  void transfer(const Operand& operand, int64_t begin, int64_t length, char* buffer, bool to_buffer) const {
    const int64_t stride = operand.strides[rank - 1], size = operand.element;
    int64_t position[max_rank], offset = 0;
    for (int d = rank - 1; d >= 0; --d) {
      position[d] = begin % extents[d];
      begin /= extents[d];
      offset += position[d] * operand.strides[d];
    }
    while (true) {
      const int64_t run = std::min(inner() - position[rank - 1], length);
      char* memory = operand.data + offset * size;
      if (to_buffer) {
        fill_buffer(operand, memory, stride, buffer, run);
      } else {
        empty_buffer(operand, buffer, memory, stride, run);
      }
      buffer += run * operand.buffer_element;
      if ((length -= run) == 0) return;
      offset -= position[rank - 1] * stride;  // on to the start of the next row
      position[rank - 1] = 0;
      for (int d = rank - 2; d >= 0; --d) {
        offset += operand.strides[d];
        if (++position[d] < extents[d]) break;
        offset -= operand.strides[d] * extents[d];
        position[d] = 0;
      }
    }
  }

  /// Fills a buffer with copies of a periodic operand's row.
  void repeat_row(const Operand& operand, int64_t elements, char* buffer) const {
    transfer(operand, 0, inner(), buffer, true);
    for (int64_t filled = inner(); filled < elements;) {
      const int64_t more = std::min(filled, elements - filled);
      std::memcpy(buffer + filled * operand.buffer_element, buffer, static_cast<size_t>(more * operand.buffer_element));
      filled += more;
    }
  }

  /// The operands that a row shows as one element each; one input at least stays an array.
  uint32_t scalars_of_a_row() const {
    uint32_t scalars = 0;
    for (int k = 1; k < operand_count; ++k)
      if ((may_be_scalar >> k & 1) && operands[k].strides[rank - 1] == 0) scalars |= 1u << k;
    const uint32_t inputs = (1u << operand_count) - 2;
    if (scalars == inputs) scalars &= scalars - 1;
    return scalars;
  }

  void run(int64_t begin, int64_t end) const {
    if (rank == 1 || inner() >= long_row) {
      run_rows(begin, end);
    } else {
      run_blocks(begin, end);
    }
  }

  /// Each call lies within one row.
  void run_rows(int64_t begin, int64_t end) const {
    alignas(64) char buffers[max_operands][buffer_bytes];
    const uint32_t scalars = scalars_of_a_row();
    uint32_t buffered = 0;
    for (int k = 0; k < operand_count; ++k)
      if (operands[k].narrow || (operands[k].strides[rank - 1] != 1 && !(scalars >> k & 1))) buffered |= 1u << k;
    const int64_t longest = buffered ? buffer_elements : inner();
    for (int64_t at = begin; at < end;) {
      const int64_t length = std::min({inner() - at % inner(), end - at, longest});
      Pointers data{};
      for (int k = 0; k < operand_count; ++k) {
        const bool through_buffer = buffered >> k & 1;
        data[static_cast<size_t>(k)] = through_buffer ? buffers[k] : address(operands[k], at);
        const int64_t elements = scalars >> k & 1 ? 1 : length;
        if (through_buffer && k > 0) transfer(operands[k], at, elements, buffers[k], true);
      }
      body(context, data, scalars, length);
      if (buffered & 1) transfer(operands[0], at, length, buffers[0], false);
      at += length;
    }
  }

  /// Each call spans many short rows.
  void run_blocks(int64_t begin, int64_t end) const {
    alignas(64) char buffers[max_operands][buffer_bytes];
    const int64_t block = buffer_elements / inner() * inner();
    uint32_t linear = 0, periodic = 0;
    for (int k = 0; k < operand_count; ++k) {
      if (is_linear(operands[k]) && !operands[k].narrow) {
        linear |= 1u << k;
      } else if (k > 0 && is_periodic(operands[k])) {
        periodic |= 1u << k;  // one filled buffer serves every block
        repeat_row(operands[k], std::min(block, count), buffers[k]);
      }
    }
    for (int64_t at = begin; at < end;) {
      const int64_t phase = at % block, length = std::min(block - phase, end - at);
      Pointers data{};
      for (int k = 0; k < operand_count; ++k) {
        const Operand& operand = operands[k];
        char*& pointer = data[static_cast<size_t>(k)];
        if (linear >> k & 1) {
          pointer = operand.data + at * operand.element;
        } else if (periodic >> k & 1) {
          pointer = buffers[k] + phase * operand.buffer_element;
        } else {
          pointer = buffers[k];
          if (k > 0) transfer(operand, at, length, buffers[k], true);
        }
      }
      body(context, data, 0, length);
      if (!(linear & 1)) transfer(operands[0], at, length, buffers[0], false);
      at += length;
    }
  }
};

}  // namespace

void run_flat(const Tensor* const* tensors, int operand_count, uint32_t may_be_scalar, FlatBody body, void* context) {
  const Tensor& out = *tensors[0];
  bool flat = true;
  for (int k = 0; k < operand_count && flat; ++k)
    flat = tensors[k]->strides() == out.strides() && tensors[k]->dtype() != DType::bfloat16;
  if (flat && out.is_dense()) {
    parallel_for(out.numel(), elementwise_grain, [&](int64_t begin, int64_t end) {
      Pointers data{};
      for (int k = 0; k < operand_count; ++k)
        data[static_cast<size_t>(k)] =
            static_cast<char*>(tensors[k]->raw()) + begin * static_cast<int64_t>(size_of(tensors[k]->dtype()));
      body(context, data, 0, end - begin);
    });
    return;
  }
  const Walk walk(tensors, operand_count, may_be_scalar, body, context);
  parallel_for(walk.count, elementwise_grain, [&](int64_t begin, int64_t end) { walk.run(begin, end); });
}

}  // namespace gradus::cpu::detail
