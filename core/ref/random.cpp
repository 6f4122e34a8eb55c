// Reference kernels of random numbers: the scalar functions of core/distributions.h applied element after element.
#include "core/distributions.h"
#include "core/kernels.h"
#include "core/ref/loops.h"
#include "core/ref/widened.h"

namespace gradus::ref {
namespace {

/// Calls body(block, lane, offsets) for every element in logical order, drawing one block per four elements.
template <size_t N, class Body>
void for_each_draw(RandomKey key, const Shape& shape, const std::array<Strides, N>& strides, Body body) {
  std::array<uint32_t, 4> block{};
  int lane = 0;
  for_each_element<N>(shape, strides, [&](const Offsets<N>& at) {
    if (lane == 0) {
      block = philox(key);
      ++key.offset;
    }
    body(block, lane, at);
    lane = (lane + 1) % 4;
  });
}

}  // namespace

void random_uniform(const RandomKey& key, double low, double high, Tensor& out) {
  visit_floating("random_uniform", out.dtype(), [&]<class T>(T) {
    T* to = pointer<T>(out);
    for_each_draw<1>(key, out.shape(), {out.strides()}, [&](const auto& block, int lane, const Offsets<1>& at) {
      to[at[0]] = static_cast<T>(to_uniform(block[lane], low, high));
    });
  });
}

void random_normal(const RandomKey& key, double mean, double std, Tensor& out) {
  visit_floating("random_normal", out.dtype(), [&]<class T>(T) {
    T* to = pointer<T>(out);
    for_each_draw<1>(key, out.shape(), {out.strides()}, [&](const auto& block, int lane, const Offsets<1>& at) {
      to[at[0]] = static_cast<T>(std::fma(std, to_normal(block, lane), mean));
    });
  });
}

void dropout(const RandomKey& key, double p, const Tensor& x, Tensor& out) {
  if (is_bfloat16(x)) return dropout(key, p, widened(x), Narrowed(out));
  visit_floating("dropout", x.dtype(), [&]<class T>(T) {
    const T* from = pointer<T>(x);
    T* to = pointer<T>(out);
    const T scale = static_cast<T>(1 / (1 - p));
    for_each_draw<2>(key, out.shape(), {x.strides(), out.strides()},
                     [&](const auto& block, int lane, const Offsets<2>& at) {
                       to[at[1]] = to_unit_float(block[lane]) >= p ? from[at[0]] * scale : T{0};
                     });
  });
}

}  // namespace gradus::ref
