// Philox 4x32-10 (Salmon et al. 2011), many counters at a time: the numbers of core/random.h.
#include "core/cpu/vector/kernels.h"
#include "core/cpu/vector/math.h"
#include "core/cpu/vector/pack.h"

namespace gradus::cpu::vector::GRADUS_ISA {

namespace {

constexpr int lanes = width / 2;  // counters in a pack
constexpr int groups = 4;         // packs side by side, to hide the latency of multiplication

/// The four words of lanes * groups blocks from `offset` on, each in the lower half of an element; the upper halves are
/// left over from the products, which ignore them.
void draw(const RandomKey& key, uint64_t offset, WidePack (&words)[groups][4]) {
  WidePack count;
  for (int i = 0; i < lanes; ++i) count[i] = static_cast<uint64_t>(i);
  for (int g = 0; g < groups; ++g) {
    const WidePack counter = count + (offset + static_cast<uint64_t>(g * lanes));
    words[g][0] = counter;
    words[g][1] = counter >> 32;
    words[g][2] = WidePack{} + key.stream;
    words[g][3] = WidePack{} + (key.stream >> 32);
  }
  const WidePack m0 = WidePack{} + uint64_t{0xD2511F53}, m1 = WidePack{} + uint64_t{0xCD9E8D57};
  uint32_t k0 = static_cast<uint32_t>(key.seed), k1 = static_cast<uint32_t>(key.seed >> 32);
  for (int round = 0; round < 10; ++round) {
    for (auto& w : words) {
      const WidePack p0 = multiply_low_halves(w[0], m0), p1 = multiply_low_halves(w[2], m1);
      w[0] = (p1 >> 32) ^ w[1] ^ k0;
      w[2] = (p0 >> 32) ^ w[3] ^ k1;
      w[1] = p1;
      w[3] = p0;
    }
    k0 += 0x9E3779B9;
    k1 += 0xBB67AE85;
  }
}

/// Which byte of a 32-bit integer lies at address k.
constexpr int byte_of_word(int k) { return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? k : 3 - k; }

void draw_keep(const RandomKey& key, int64_t blocks, uint32_t threshold, uint8_t* keep) {
  constexpr int64_t batch = lanes * groups;
  for (int64_t begin = 0; begin < blocks; begin += batch) {
    WidePack words[groups][4];
    draw(key, key.offset + static_cast<uint64_t>(begin), words);
    uint32_t flags[batch];  // byte k: whether word k reaches the threshold
    for (int g = 0; g < groups; ++g) {
      WidePack packed{};
      for (int k = 0; k < 4; ++k) {
        const WidePack draws = (words[g][k] & 0xffffffffu) >> 8;
        const WidePack reached = (WidePack)(draws >= static_cast<uint64_t>(threshold));
        packed |= reached & (WidePack{} + (uint64_t{1} << (byte_of_word(k) * 8)));
      }
      uint64_t wide[lanes];
      __builtin_memcpy(wide, &packed, sizeof wide);
      for (int i = 0; i < lanes; ++i) flags[g * lanes + i] = static_cast<uint32_t>(wide[i]);
    }
    const int64_t count = blocks - begin < batch ? blocks - begin : batch;
    __builtin_memcpy(keep + 4 * begin, flags, static_cast<size_t>(4 * count));
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
