// Philox 4x32-10 (Salmon et al. 2011), many counters at a time: the numbers of core/random.h.
#include "core/cpu/vector/kernels.h"
#include "core/cpu/vector/math.h"

namespace gradus::cpu::vector::GRADUS_ISA {

namespace {

void draw_keep(const RandomKey& key, int64_t blocks, uint32_t threshold, uint8_t* keep) {
  constexpr int64_t batch = 64;
  for (int64_t begin = 0; begin < blocks; begin += batch) {
    uint32_t c0[batch], c1[batch], c2[batch], c3[batch];
    for (int64_t i = 0; i < batch; ++i) {
      const uint64_t offset = key.offset + static_cast<uint64_t>(begin + i);
      c0[i] = static_cast<uint32_t>(offset);
      c1[i] = static_cast<uint32_t>(offset >> 32);
      c2[i] = static_cast<uint32_t>(key.stream);
      c3[i] = static_cast<uint32_t>(key.stream >> 32);
    }
    uint32_t k0 = static_cast<uint32_t>(key.seed), k1 = static_cast<uint32_t>(key.seed >> 32);
    for (int round = 0; round < 10; ++round) {
#pragma omp simd
      for (int64_t i = 0; i < batch; ++i) {
        const uint64_t p0 = uint64_t{0xD2511F53} * c0[i], p1 = uint64_t{0xCD9E8D57} * c2[i];
        c0[i] = static_cast<uint32_t>(p1 >> 32) ^ c1[i] ^ k0;
        c2[i] = static_cast<uint32_t>(p0 >> 32) ^ c3[i] ^ k1;
        c1[i] = static_cast<uint32_t>(p1);
        c3[i] = static_cast<uint32_t>(p0);
      }
      k0 += 0x9E3779B9;
      k1 += 0xBB67AE85;
    }
    const int64_t count = blocks - begin < batch ? blocks - begin : batch;
    uint8_t* to = keep + 4 * begin;
    for (int64_t i = 0; i < count; ++i) {
      to[4 * i] = (c0[i] >> 8) >= threshold;
      to[4 * i + 1] = (c1[i] >> 8) >= threshold;
      to[4 * i + 2] = (c2[i] >> 8) >= threshold;
      to[4 * i + 3] = (c3[i] >> 8) >= threshold;
    }
  }
}

void scale_kept(const uint8_t* keep, float scale, const float* x, float* out, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) out[i] = from_bits(bits(x[i] * scale) & (0u - static_cast<uint32_t>(keep[i])));
}

}  // namespace

void add_random(Kernels& table) {
  table.draw_keep = draw_keep;
  table.scale_kept = scale_kept;
}

}  // namespace gradus::cpu::vector::GRADUS_ISA
