// The inner loops of amx/grad_weight.cpp, compiled with the instructions that they need.
#pragma once

#include <cstdint>

#include "core/dtype.h"

namespace gradus::cpu::amx {

inline constexpr int64_t tile_rows = 16;       ///< of any tile: 16 channels, or 16 pairs of pixels
inline constexpr int64_t tile_pixels = 32;     ///< two in each 32-bit column or row
inline constexpr int64_t tile_elements = 512;  ///< bfloat16 in a tile of 1 KiB
inline constexpr int64_t block_channels = 32;  ///< side of a block of results, two tiles
inline constexpr int64_t chunk_pixels = 512;   ///< of one product: two rows of tiles fill half of the L1 cache

/// Sets the tiles of this thread up, and gives them back.
void begin_tiles();
void end_tiles();

/// Tiles [channel block][pixel block] of rows given by pointer, `pixels` of them (a multiple of 32): as the right
/// operand (16 pairs of pixels x 16 channels) or, transposed, as the left one (16 channels x 16 pairs).
void pack_right(const bfloat16* const* rows, int64_t pixels, int64_t channels, bfloat16* tiles);
void pack_left(const bfloat16* const* rows, int64_t pixels, int64_t channels, bfloat16* tiles);

/// sums[32][32], with `row_stride`, (+)= the product of two rows of left tiles and two of right ones, `blocks` tiles
/// long.
void multiply_block(const bfloat16* left, const bfloat16* right, int64_t blocks, float* sums, int64_t row_stride,
                    bool first);

}  // namespace gradus::cpu::amx
