// Uniform and normal numbers on several threads: a block of draws is a function of its number alone.
#include <algorithm>

#include "core/cpu/layout.h"
#include "core/distributions.h"
#include "core/kernels.h"
#include "core/parallel.h"

namespace gradus::kernels {

namespace {

constexpr int64_t grain_blocks = 512;  // of four draws

/// Calls make(block, numbers): the four numbers of a block, for every block of the elements in logical order.
template <class T, class Make>
void fill_elements(const RandomKey& key, Tensor& out, Make make) {
  cpu::write_as_layout(out, Layout::contiguous, [&](Tensor& row_major) {
    T* to = row_major.data<T>();
    const int64_t count = row_major.numel();
    parallel_for((count + 3) / 4, grain_blocks, [&](int64_t begin, int64_t end) {
      RandomKey at = key;
      at.offset += static_cast<uint64_t>(begin);
      for (int64_t b = begin; b < end; ++b, ++at.offset) {
        double numbers[4];
        make(philox(at), numbers);
        for (int64_t i = 4 * b; i < std::min(4 * b + 4, count); ++i) to[i] = static_cast<T>(numbers[i - 4 * b]);
      }
    });
  });
}

template <class Make>
void fill_blocks(const RandomKey& key, Tensor& out, Make make) {
  if (out.dtype() == DType::float64) return fill_elements<double>(key, out, make);
  fill_elements<float>(key, out, make);
}

bool is_drawn_here(const Tensor& out) { return out.dtype() == DType::float32 || out.dtype() == DType::float64; }

}  // namespace

void random_uniform(const RandomKey& key, double low, double high, Tensor& out) {
  if (!is_drawn_here(out)) return ref::random_uniform(key, low, high, out);
  fill_blocks(key, out, [=](const std::array<uint32_t, 4>& block, double* numbers) {
    for (int i = 0; i < 4; ++i) numbers[i] = to_uniform(block[static_cast<size_t>(i)], low, high);
  });
}

void random_normal(const RandomKey& key, double mean, double std, Tensor& out) {
  if (!is_drawn_here(out)) return ref::random_normal(key, mean, std, out);
  fill_blocks(key, out, [=](const std::array<uint32_t, 4>& block, double* numbers) {
    const NormalPoint first(block[0], block[1]), second(block[2], block[3]);
    const double points[] = {first.x(), first.y(), second.x(), second.y()};
    for (int i = 0; i < 4; ++i) numbers[i] = std::fma(std, points[i], mean);
  });
}

}  // namespace gradus::kernels
