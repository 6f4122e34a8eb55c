#include "core/cpu/amx/tiles.h"

#include <immintrin.h>

namespace gradus::cpu::amx {

namespace {

struct alignas(64) TileConfiguration {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
static_assert(sizeof(TileConfiguration) == 64);
constexpr TileConfiguration configuration;  // a constant: g++ 12 does not know that the instruction reads all of it

}  // namespace

void begin_tiles() { _tile_loadconfig(&configuration); }

void end_tiles() { _tile_release(); }

namespace {

/// Two rows of 32 channels as pairs: the first 16 channels' and the others'.
struct Pairs {
  __m512i low, high;
};
inline Pairs pair_up(const bfloat16* first, const bfloat16* second) {
  const __m512i a = _mm512_loadu_si512(first), b = _mm512_loadu_si512(second);
  alignas(64) static constexpr uint16_t low_order[32] = {0, 32, 1, 33, 2,  34, 3,  35, 4,  36, 5,  37, 6,  38, 7,  39,
                                                         8, 40, 9, 41, 10, 42, 11, 43, 12, 44, 13, 45, 14, 46, 15, 47};
  const __m512i low = _mm512_load_si512(low_order), high = _mm512_add_epi16(low, _mm512_set1_epi16(16));
  return {_mm512_permutex2var_epi16(a, low, b), _mm512_permutex2var_epi16(a, high, b)};
}

// With a mask of all ones: g++ 12 takes what the plain forms leave undefined for a use of it.
inline __m512i pairs_low(__m512i a, __m512i b) { return _mm512_maskz_unpacklo_epi32(0xffff, a, b); }
inline __m512i pairs_high(__m512i a, __m512i b) { return _mm512_maskz_unpackhi_epi32(0xffff, a, b); }
inline __m512i quads_low(__m512i a, __m512i b) { return _mm512_maskz_unpacklo_epi64(0xff, a, b); }
inline __m512i quads_high(__m512i a, __m512i b) { return _mm512_maskz_unpackhi_epi64(0xff, a, b); }
inline __m512i even_lanes(__m512i a, __m512i b) { return _mm512_maskz_shuffle_i32x4(0xffff, a, b, 0x88); }
inline __m512i odd_lanes(__m512i a, __m512i b) { return _mm512_maskz_shuffle_i32x4(0xffff, a, b, 0xdd); }

/// Transposes 16 rows of 16 32-bit elements: first within lanes of 128 bits, then lanes.
inline void transpose(__m512i (&r)[16]) {
  __m512i t[16];
  for (int i = 0; i < 16; i += 2) {
    t[i] = pairs_low(r[i], r[i + 1]);
    t[i + 1] = pairs_high(r[i], r[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    r[i] = quads_low(t[i], t[i + 2]);
    r[i + 1] = quads_high(t[i], t[i + 2]);
    r[i + 2] = quads_low(t[i + 1], t[i + 3]);
    r[i + 3] = quads_high(t[i + 1], t[i + 3]);
  }
  for (int i = 0; i < 4; ++i) {
    t[i] = even_lanes(r[i], r[i + 4]);
    t[i + 4] = odd_lanes(r[i], r[i + 4]);
    t[i + 8] = even_lanes(r[i + 8], r[i + 12]);
    t[i + 12] = odd_lanes(r[i + 8], r[i + 12]);
  }
  for (int i = 0; i < 4; ++i) {
    r[i] = even_lanes(t[i], t[i + 8]);
    r[i + 4] = even_lanes(t[i + 4], t[i + 12]);
    r[i + 8] = odd_lanes(t[i], t[i + 8]);
    r[i + 12] = odd_lanes(t[i + 4], t[i + 12]);
  }
}

}  // namespace

void pack_right(const bfloat16* const* rows, int64_t pixels, int64_t channels, bfloat16* tiles) {
  const int64_t next_channels = pixels / tile_pixels * tile_elements;
  for (int64_t p = 0; p < pixels; p += 2) {
    bfloat16* to = tiles + p / tile_pixels * tile_elements + p % tile_pixels * tile_rows;
    for (int64_t c = 0; c < channels; c += block_channels, to += 2 * next_channels) {
      const Pairs pairs = pair_up(rows[p] + c, rows[p + 1] + c);
      _mm512_store_si512(static_cast<void*>(to), pairs.low);
      _mm512_store_si512(static_cast<void*>(to + next_channels), pairs.high);
    }
  }
}

void pack_left(const bfloat16* const* rows, int64_t pixels, int64_t channels, bfloat16* tiles) {
  const int64_t next_channels = pixels / tile_pixels * tile_elements;
  for (int64_t p = 0; p < pixels; p += tile_pixels, tiles += tile_elements)
    for (int64_t c = 0; c < channels; c += block_channels) {
      __m512i low[16], high[16];
      for (int i = 0; i < 16; ++i) {
        const Pairs pairs = pair_up(rows[p + 2 * i] + c, rows[p + 2 * i + 1] + c);
        low[i] = pairs.low, high[i] = pairs.high;
      }
      transpose(low);
      transpose(high);
      bfloat16* to = tiles + c / tile_rows * next_channels;
      for (int i = 0; i < 16; ++i) {
        _mm512_store_si512(static_cast<void*>(to + i * tile_pixels), low[i]);
        _mm512_store_si512(static_cast<void*>(to + next_channels + i * tile_pixels), high[i]);
      }
    }
}

void multiply_block(const bfloat16* left, const bfloat16* right, int64_t blocks, float* sums, int64_t row_stride,
                    bool first) {
  const auto bytes = row_stride * static_cast<int64_t>(sizeof(float));
  float *upper = sums, *lower = sums + tile_rows * row_stride;
  if (first) {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  } else {
    _tile_loadd(0, upper, bytes);
    _tile_loadd(1, upper + tile_rows, bytes);
    _tile_loadd(2, lower, bytes);
    _tile_loadd(3, lower + tile_rows, bytes);
  }
  const bfloat16 *left2 = left + blocks * tile_elements, *right2 = right + blocks * tile_elements;
  for (int64_t b = 0; b < blocks; ++b) {
    const int64_t at = b * tile_elements;
    _tile_loadd(4, left + at, 64);
    _tile_loadd(6, right + at, 64);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(7, right2 + at, 64);
    _tile_dpbf16ps(1, 4, 7);
    _tile_loadd(5, left2 + at, 64);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_stored(0, upper, bytes);
  _tile_stored(1, upper + tile_rows, bytes);
  _tile_stored(2, lower, bytes);
  _tile_stored(3, lower + tile_rows, bytes);
}

}  // namespace gradus::cpu::amx
