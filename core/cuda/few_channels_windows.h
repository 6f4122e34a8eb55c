// What the tensor cores' kernels for few input channels share: the inputs that outputs meet, as operands in shared
// memory, zero outside the image, in an order in which 32 lanes read 32 neighbouring words. Nothing else is moved
// about: which number of a product stands for which output, channel or tap is free, so every lane reads gradients and
// writes outputs in whole pieces, from and to where they are.
#pragma once

#include <algorithm>
#include <type_traits>

#include "core/cuda/few_channels_parts.h"
#include "core/cuda/warp.h"

namespace gradus::cuda::few_channels_parts {

template <class T>
inline constexpr bool is_narrow = sizeof(T) == 2;

GRADUS_ANYWHERE inline uint32_t operand_of(float value) { return tf32_of(value); }
GRADUS_ANYWHERE inline uint32_t operand_of(bfloat16 value) { return value.bits; }

/// Two words' lower halves, or their upper ones, side by side.
GRADUS_ANYWHERE inline uint32_t lower_halves(uint32_t low, uint32_t high) {
#ifdef __CUDA_ARCH__
  return __byte_perm(low, high, 0x5410);
#else
  return (low & 0xffffu) | high << 16;
#endif
}
GRADUS_ANYWHERE inline uint32_t upper_halves(uint32_t low, uint32_t high) {
#ifdef __CUDA_ARCH__
  return __byte_perm(low, high, 0x7632);
#else
  return low >> 16 | (high & 0xffff0000u);
#endif
}

template <class T>
GRADUS_ANYWHERE inline void multiply(PerLane<Sums>& sums, const PerLane<Left>& left, const PerLane<Right>& right) {
  if constexpr (is_narrow<T>)
    multiply_bf16(sums, left, right);
  else
    multiply_tf32(sums, left, right);
}

// ---- What runs meet of x --------------------------------------------------------------------------------------------

inline constexpr int most_product_slots = 64;                 // runs that a block holds at a time
inline constexpr int most_columns = 10 * most_product_slots;  // and columns of their windows

/// Words of columns: planes of `width` words to a column, neighbours of neighbouring columns, and the rest of them.
template <int width, int words>
struct ColumnMemory {
  static constexpr int planes = words / width, rest = words % width;
  alignas(16) uint32_t plane[std::max(planes, 1)][planes ? most_columns * width : 4];
  uint32_t other[rest ? most_columns * rest : 4];

  GRADUS_ANYWHERE void write(int column, const uint32_t* from) {
    GRADUS_UNROLL
    for (int k = 0; k < planes * width; k += 4)
      *reinterpret_cast<Pack*>(plane[k / width] + column * width + k % width) = {from[k], from[k + 1], from[k + 2],
                                                                                 from[k + 3]};
    GRADUS_UNROLL
    for (int k = 0; k < rest; ++k) other[column * rest + k] = from[planes * width + k];
  }
};

/// A run's window in columns, each with its 3 ins numbers from above to below ("rows"), a word to a number or to a
/// pair. Those that a tap's 8 outputs meet, or the first 4 of them, are neighbours; from tap to tap there are `period`
/// columns: 1 where stride and dilation along a row are 1, for then taps share columns.
enum class Pairs : uint8_t {
  none,    // TF32
  rows,    // two neighbours of a column
  outputs  // what two outputs meet that are 4 apart
};
template <class T, int ins, Pairs pairs>
struct ProductWindows {
  static constexpr int rows = side * ins, words = pairs == Pairs::rows ? (rows + 1) / 2 : rows;
  static constexpr int ahead = pairs == Pairs::outputs ? 2 : 1;  // columns of x in one of these
  /// Columns that a thread loads at once, as registers allow.
  static constexpr int at_once = pairs != Pairs::outputs ? 3 : ins < most_ins ? 2 : 1;
  static constexpr int neighbours = pairs == Pairs::outputs ? 4 : 8;  // of a tap
  Runs<T> of;
  int period, columns;

  /// Runs first, first + 1, ...: all zero where there are no more. 4 threads to a run.
  template <class Memory>
  GRADUS_ANYWHERE void stage(uint32_t first, int slots, int thread, Memory& to, Place* places) const {
    constexpr int threads = threads_per_block / most_product_slots;
    const int slot = thread / threads;
    if (slot >= slots) return;
    const uint32_t number = first + static_cast<uint32_t>(slot);
    const bool there = number < of.runs;
    const Corner corner = of.corner(there ? number : 0);
    if (thread % threads == 0) places[slot] = there ? corner.place : Place{0, 0};
    const T* const image = of.x + corner.image * of.image_stride + corner.row * of.row_stride;
    for (int begin = thread % threads; begin < columns; begin += at_once * threads) {
      T values[at_once][ahead][rows];
      GRADUS_UNROLL
      for (int k = 0; k < at_once; ++k) {
        const int column = begin + k * threads;
        const int tap = period == 1 ? column : column / neighbours, neighbour = period == 1 ? 0 : column % neighbours;
        GRADUS_UNROLL
        for (int a = 0; a < ahead; ++a)
          load(image, corner.row, corner.column + tap * of.dilation_right + (neighbour + 4 * a) * of.right,
               there && column < columns, values[k][a]);
      }
      GRADUS_UNROLL
      for (int k = 0; k < at_once; ++k) {
        const int column = begin + k * threads;
        if (column < columns) write(values[k], slot * columns + column, to);
      }
    }
  }

  /// The rows of a column of x; `from` is the first row, which like the others may be outside.
  GRADUS_ANYWHERE void load(const T* from, int x_row, int x_column, bool there, T* to) const {
    const bool in_row = there && x_column >= 0 && x_column < of.width;
    from += x_column * of.column_stride;
    GRADUS_UNROLL
    for (int row = 0; row < side; ++row) {
      const bool inside = in_row && x_row >= 0 && x_row < of.height;
      const T* channel = from;
      GRADUS_UNROLL
      for (int in = 0; in < ins; ++in, channel += of.channel_stride) to[row * ins + in] = inside ? *channel : T(0.0f);
      from += of.dilation_down * of.row_stride, x_row += of.dilation_down;
    }
  }

  template <class Memory>
  GRADUS_ANYWHERE static void write(const T (&values)[ahead][rows], int place, Memory& to) {
    uint32_t column[words];
    pack(values, column);
    to.write(place, column);
  }

  GRADUS_ANYWHERE static void pack(const T (&values)[ahead][rows], uint32_t* to) {
    GRADUS_UNROLL
    for (int i = 0; i < words; ++i) {
      if constexpr (pairs == Pairs::none)
        to[i] = operand_of(values[0][i]);
      else if constexpr (pairs == Pairs::outputs)
        to[i] = operand_of(values[0][i]) | operand_of(values[1][i]) << 16;
      else
        to[i] = operand_of(values[0][2 * i]) | (2 * i + 1 < rows ? operand_of(values[0][2 * i + 1]) << 16 : 0);
    }
  }
};

template <class Windows, class T>
Windows make_product_windows(const Runs<T>& runs) {
  const int period = runs.right == 1 && runs.dilation_right == 1 ? 1 : Windows::neighbours;
  return {.of = runs, .period = period, .columns = Windows::neighbours + (side - 1) * period};
}

/// How a launch divides runs: among blocks, and of a block into tiles of an even number of slots.
struct Division {
  int slots, tiles;
  int64_t blocks;
};
inline Division divide(int64_t runs, int columns, int64_t most_blocks) {
  const int64_t most_slots = std::min(most_product_slots, most_columns / columns / 2 * 2);
  const int64_t of_block = divided_up(runs, most_blocks), tiles = divided_up(of_block, most_slots);
  const int64_t slots = divided_up(divided_up(of_block, tiles), 2) * 2;
  return {static_cast<int>(slots), static_cast<int>(tiles), divided_up(runs, tiles * slots)};
}

/// body(T(), the number of input channels as a constant).
template <class Body>
void visit_products(const ConvOperands& o, const Body& body) {
  const auto of_type = [&](auto type) {
    switch (o.x.shape()[1]) {
      case 1: return body(type, std::integral_constant<int, 1>());
      case 2: return body(type, std::integral_constant<int, 2>());
      case 3: return body(type, std::integral_constant<int, 3>());
      default: return body(type, std::integral_constant<int, most_ins>());
    }
  };
  if (o.x.dtype() == DType::bfloat16)
    of_type(bfloat16());
  else
    of_type(float());
}

}  // namespace gradus::cuda::few_channels_parts
