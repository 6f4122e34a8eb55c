#include "core/cpu/amx/grad_weight.h"

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "core/allocator.h"
#include "core/cpu/amx/tiles.h"
#include "core/cpu/isa.h"
#include "core/parallel.h"

namespace gradus::cpu::amx {
namespace {

/// Linux lends the tiles' registers, 8 KiB, to a process that asks.
bool permitted() {
  constexpr int request_permission = 0x1023, tile_data = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
}

bool has_instructions() {
  unsigned a, b, c, d;
  constexpr unsigned bfloat16_bit = 1u << 22, tile_bit = 1u << 24;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & bfloat16_bit) && (d & tile_bit);
}

/// The output pixels [begin, end) of all images, in chunks, for one thread: du[tap][O][I] receives their share.
void accumulate(const Problem& p, const bfloat16* x, const bfloat16* gy, int64_t begin, int64_t end, float* du) {
  const auto tiles = [](int64_t channels) {
    return Storage::allocate(static_cast<size_t>(channels * chunk_pixels) * sizeof(bfloat16));
  };
  const Storage left_memory = tiles(p.out), right_memory = tiles(p.in);
  auto *left = static_cast<bfloat16*>(left_memory.data()), *right = static_cast<bfloat16*>(right_memory.data());
  const std::vector<bfloat16> zeros(static_cast<size_t>(std::max(p.in, p.out)));
  const bfloat16* rows[chunk_pixels];
  int64_t image[chunk_pixels], row[chunk_pixels], column[chunk_pixels];
  begin_tiles();
  for (int64_t chunk = begin; chunk < end; chunk += chunk_pixels) {
    const int64_t count = std::min(chunk_pixels, end - chunk);
    const int64_t pixels = (count + tile_pixels - 1) / tile_pixels * tile_pixels, blocks = pixels / tile_pixels;
    for (int64_t i = 0; i < pixels; ++i) rows[i] = i < count ? gy + (chunk + i) * p.out : zeros.data();
    pack_left(rows, pixels, p.out, left);
    for (int64_t i = 0; i < count; ++i) {
      const int64_t line = (chunk + i) / p.out_width;
      image[i] = line / p.out_height;
      row[i] = line % p.out_height * p.stride_height - p.pad_top;
      column[i] = (chunk + i) % p.out_width * p.stride_width - p.pad_left;
    }
    for (int64_t tap = 0; tap < p.kernel_height * p.kernel_width; ++tap) {
      const int64_t down = tap / p.kernel_width, across = tap % p.kernel_width;
      for (int64_t i = 0; i < pixels; ++i) {
        const int64_t h = row[i] + down, w = column[i] + across;
        const bool inside = i < count && h >= 0 && h < p.height && w >= 0 && w < p.width;
        rows[i] = inside ? x + ((image[i] * p.height + h) * p.width + w) * p.in : zeros.data();
      }
      pack_right(rows, pixels, p.in, right);
      for (int64_t o = 0; o < p.out; o += block_channels)
        for (int64_t i = 0; i < p.in; i += block_channels)
          multiply_block(left + o * pixels, right + i * pixels, blocks, du + (tap * p.out + o) * p.in + i, p.in,
                         chunk == begin);
    }
  }
  end_tiles();
}

}  // namespace

bool available() {
  static const bool can = isa() == Isa::v4 && has_instructions() && permitted();
  return can;
}

void grad_weight(const Problem& p, const bfloat16* x, const bfloat16* gy, float* gw) {
  const int64_t pixels = p.images * p.out_height * p.out_width, taps = p.kernel_height * p.kernel_width;
  const int64_t chunks = (pixels + chunk_pixels - 1) / chunk_pixels;
  const int64_t shares = std::min<int64_t>(num_threads(), chunks), size = taps * p.out * p.in;
  const Storage memory = Storage::allocate(static_cast<size_t>(shares * size) * sizeof(float));
  auto* sums = static_cast<float*>(memory.data());
  parallel_for(shares, 1, [&](int64_t begin, int64_t end) {
    for (int64_t s = begin; s < end; ++s)
      accumulate(p, x, gy, s * chunks / shares * chunk_pixels,
                 std::min((s + 1) * chunks / shares * chunk_pixels, pixels), sums + s * size);
  });
  parallel_for(p.out, 8, [&](int64_t begin, int64_t end) {
    for (int64_t o = begin; o < end; ++o)
      for (int64_t i = 0; i < p.in; ++i)
        for (int64_t tap = 0; tap < taps; ++tap) {
          float total = 0;
          for (int64_t s = 0; s < shares; ++s) total += sums[s * size + (tap * p.out + o) * p.in + i];
          gw[(o * p.in + i) * taps + tap] = total;
        }
  });
}

}  // namespace gradus::cpu::amx
