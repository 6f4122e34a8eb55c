// Pooling and dropout of the device in float32 against the reference.
#include "core/parallel.h"
#include "tests/core/cpu_compare.h"

using namespace gradus;
using namespace gradus::testing;

namespace {

struct PoolCase {
  Shape x;
  Pool2dSpec spec;
};

const PoolCase pool_cases[] = {
    {{3, 20, 8, 8}, {}},
    {{2, 5, 9, 7}, {.kernel = {3, 3}, .stride = {2, 2}, .padding = {1, 1, 1, 1}}},
    {{2, 5, 9, 7}, {.kernel = {3, 3}, .stride = {2, 2}, .padding = {1, 1, 1, 1}, .count_padding = false}},
    {{2, 33, 6, 6}, {.kernel = {6, 6}, .stride = {1, 1}}},
    {{1, 4, 7, 6}, {.kernel = {3, 2}, .stride = {1, 1}, .padding = {0, 1, 1, 0}}},
    {{1, 1, 1, 1}, {.kernel = {1, 1}, .stride = {1, 1}}},
    {{0, 4, 4, 4}, {}},
};

Shape pooled_shape(const PoolCase& c) {
  Shape y{c.x[0], c.x[1]};
  for (int i = 0; i < 2; ++i)
    y.push_back((c.x[2 + i] + c.spec.padding[i] + c.spec.padding[2 + i] - c.spec.kernel[i]) / c.spec.stride[i] + 1);
  return y;
}

}  // namespace

TEST_CASE("max pooling finds the same values and places as the reference, ties and NaN included") {
  for (const PoolCase& c : pool_cases) {
    const Shape shape = pooled_shape(c);
    const Tensor x = random(c.x, 1);
    for (int64_t i = 0; i < x.numel(); ++i) {
      float& v = x.data<float>()[i];
      v = i % 37 == 5 ? NAN : std::round(4 * v) / 4;
    }
    Tensor y = Tensor::empty(shape), index = Tensor::empty(shape, DType::int64);
    ref::max_pool2d_forward(x, c.spec, y, index);
    for (const Memory from : every_memory) {
      for (const Memory to : every_memory) {
        Tensor y2 = empty_in(to, shape), index2 = empty_in(from, shape, DType::int64);
        kernels::max_pool2d_forward(in(from, x), c.spec, y2, index2);
        check_equal(y2, y);
        check_equal(index2, index);
      }
    }
  }
}

TEST_CASE("max pooling's scatter and gather agree with the reference") {
  for (const PoolCase& c : pool_cases) {
    const Shape shape = pooled_shape(c);
    const Tensor x = random(c.x, 2), gy = random(shape, 3);
    Tensor y = Tensor::empty(shape), index = Tensor::empty(shape, DType::int64), gx = Tensor::empty(c.x);
    ref::max_pool2d_forward(x, c.spec, y, index);
    ref::max_pool2d_scatter(gy, index, gx);
    // every window may add 1 to the same element
    const double bound = float_epsilon * static_cast<double>(c.spec.kernel[0] * c.spec.kernel[1] + 1) * 36;
    for (const Memory memory : every_memory) {
      Tensor gx2 = empty_in(memory, c.x), y2 = empty_in(memory, shape);
      kernels::max_pool2d_scatter(in(memory, gy), in(memory, index), gx2);
      check_within(gx2, gx, [&](size_t) { return bound; });
      kernels::max_pool2d_gather(in(memory, x), in(memory, index), y2);
      check_equal(y2, y);
    }
  }
}

TEST_CASE("average pooling and its gradient agree with the reference") {
  for (const PoolCase& c : pool_cases) {
    const Shape shape = pooled_shape(c);
    const Tensor x = random(c.x, 4), gy = random(shape, 5);
    Tensor y = Tensor::empty(shape), gx = Tensor::empty(c.x);
    ref::avg_pool2d_forward(x, c.spec, y);
    ref::avg_pool2d_backward(gy, c.spec, gx);
    // a sum of as many terms as the window has, each at most 1 (or, in the gradient, at most 1 altogether)
    const double bound = float_epsilon * static_cast<double>(c.spec.kernel[0] * c.spec.kernel[1] + 3);
    for (const Memory memory : every_memory) {
      Tensor y2 = empty_in(memory, shape), gx2 = empty_in(memory, c.x);
      kernels::avg_pool2d_forward(in(memory, x), c.spec, y2);
      check_within(y2, y, [&](size_t) { return bound; });
      kernels::avg_pool2d_backward(in(memory, gy), c.spec, gx2);
      check_within(gx2, gx, [&](size_t) { return bound * 4; });
    }
  }
}

TEST_CASE("dropout drops the reference's elements in every memory order and for every number of threads") {
  const int before = num_threads();
  const RandomKey key{.seed = 0x123456789abcdef, .stream = 77, .offset = (uint64_t{1} << 32) - 5};
  for (const Shape& shape :
       {Shape{1}, Shape{1003}, Shape{3, 5, 7, 3}, Shape{7, 96, 17, 3}, Shape{130000}, Shape{0, 3}}) {
    const Tensor x = random(shape, 6);
    for (const double p : {0.0, 0.2, 0.5, 0.999}) {
      Tensor expected = Tensor::empty(shape);
      ref::dropout(key, p, x, expected);
      for (const Memory from : every_memory) {
        for (const int threads : {1, 2, 3}) {
          set_num_threads(threads);
          Tensor out = empty_in(from, shape);
          kernels::dropout(key, p, in(from, x), out);
          check_equal(out, expected);
        }
      }
    }
  }
  set_num_threads(before);
}
