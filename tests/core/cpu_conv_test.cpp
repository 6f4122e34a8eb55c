// Float32 convolution of the device against the reference, which sums in double.
#include <cmath>
#include <string>

#include "core/ops.h"
#include "core/parallel.h"
#include "tests/core/cpu_compare.h"

using namespace gradus;
using namespace gradus::testing;

namespace {

struct ConvCase {
  const char* name;
  Shape x, w;
  Conv2dSpec spec;
};

const ConvCase conv_cases[] = {
    {"3x3 same", {2, 16, 9, 9}, {32, 16, 3, 3}, {.padding = {1, 1, 1, 1}}},
    {"first layer", {3, 3, 12, 12}, {24, 3, 3, 3}, {.padding = {1, 1, 1, 1}}},
    {"stride 2", {2, 16, 9, 10}, {16, 16, 3, 3}, {.stride = {2, 2}, .padding = {1, 1, 1, 1}}},
    {"unequal strides", {2, 5, 9, 10}, {7, 5, 3, 2}, {.stride = {2, 1}}},
    {"asymmetric padding", {1, 4, 7, 6}, {8, 4, 3, 3}, {.padding = {0, 2, 1, 0}}},
    {"dilated", {1, 8, 11, 11}, {8, 8, 3, 3}, {.padding = {2, 2, 2, 2}, .dilation = {2, 2}}},
    {"groups", {2, 6, 7, 7}, {8, 3, 3, 3}, {.padding = {1, 1, 1, 1}, .groups = 2}},
    {"depthwise", {2, 12, 7, 7}, {12, 1, 3, 3}, {.padding = {1, 1, 1, 1}, .groups = 12}},
    {"1x1", {2, 33, 5, 5}, {10, 33, 1, 1}, {}},
    {"1x1 stride 2", {2, 3, 32, 32}, {16, 3, 1, 1}, {.stride = {2, 2}}},
    {"1x1 unequal strides", {2, 5, 14, 32}, {24, 5, 1, 1}, {.stride = {1, 2}}},
    {"7x7 stride 2", {1, 3, 15, 15}, {8, 3, 7, 7}, {.stride = {2, 2}, .padding = {3, 3, 3, 3}}},
    {"one of everything", {1, 1, 1, 1}, {1, 1, 1, 1}, {}},
    {"rows left over by the stride", {1, 2, 8, 8}, {4, 2, 3, 3}, {.stride = {3, 3}}},
};

/// A float32 dot product of n terms in any order errs by at most n u sum |a b| (1 + O(n u)); one more rounding for the
/// reference's own, and one for the bias.
auto bound_of(const Tensor& magnitude, int64_t terms) {
  return [values = elements(magnitude), terms](size_t i) {
    return static_cast<double>(terms + 2) * float_epsilon * values[i];
  };
}

}  // namespace

TEST_CASE("conv2d_forward agrees with the reference for every geometry and memory order") {
  for (const ConvCase& c : conv_cases) {
    const std::string name = c.name;
    CAPTURE(name);
    const Tensor x = random(c.x, 1), w = random(c.w, 2), bias = random({c.w[0]}, 3);
    for (const bool relu : {false, true}) {
      for (const bool with_bias : {false, true}) {
        const Tensor b = with_bias ? bias : Tensor();
        Tensor expected = Tensor::empty(conv2d_shape(c.x, c.w, c.spec)),
               magnitude = Tensor::empty(conv2d_shape(c.x, c.w, c.spec));
        ref::conv2d_forward(x, w, b, relu, c.spec, expected);
        ref::conv2d_forward(absolute(x), absolute(w), with_bias ? absolute(b) : b, false, c.spec, magnitude);
        for (const Memory memory : every_memory) {
          Tensor y = empty_in(memory, conv2d_shape(c.x, c.w, c.spec));
          kernels::conv2d_forward(in(memory, x), w, b, relu, c.spec, y);
          check_within(y, expected, bound_of(magnitude, c.w[1] * c.w[2] * c.w[3]));
        }
      }
    }
  }
}

TEST_CASE("a relu within a convolution keeps NaN, wherever it comes from") {
  const double nan = std::nan("");
  for (const ConvCase& c : conv_cases) {
    const std::string name = c.name;
    CAPTURE(name);
    for (const std::string from : {"input", "weight", "bias"}) {
      CAPTURE(from);
      for (const DType dtype : {DType::float32, DType::bfloat16}) {
        const auto operand = [&](const char* role, const Shape& shape, DType type, uint64_t seed) {
          return cast(role == from ? Tensor::full(shape, nan) : random(shape, seed), type);
        };
        const Tensor x = operand("input", c.x, dtype, 1), w = operand("weight", c.w, DType::float32, 2);
        const Tensor bias = operand("bias", {c.w[0]}, DType::float32, 3);
        const Tensor y = cast(conv2d(x, w, bias, c.spec, true), DType::float32);
        // Windows that lie in the padding alone have no NaN from x.
        const Tensor expected = relu(cast(conv2d(x, w, bias, c.spec), DType::float32));
        CHECK(elements(equal(y, y)) == elements(equal(expected, expected)));
        CHECK(std::isnan(sum(y).item()));
      }
    }
  }
}

TEST_CASE("conv2d_grad_input agrees with the reference for every geometry and memory order") {
  for (const ConvCase& c : conv_cases) {
    const std::string name = c.name;
    CAPTURE(name);
    const Tensor gy = random(conv2d_shape(c.x, c.w, c.spec), 4), w = random(c.w, 5);
    Tensor expected = Tensor::empty(c.x), magnitude = Tensor::empty(c.x);
    ref::conv2d_grad_input(gy, w, c.spec, expected);
    ref::conv2d_grad_input(absolute(gy), absolute(w), c.spec, magnitude);
    for (const Memory memory : every_memory) {
      Tensor gx = empty_in(memory, c.x);
      kernels::conv2d_grad_input(in(memory, gy), in(memory, w), c.spec, gx);
      check_within(gx, expected, bound_of(magnitude, c.w[0] * c.w[2] * c.w[3]));
    }
  }
}

TEST_CASE("conv2d_grad_weight agrees with the reference for every geometry and memory order") {
  for (const ConvCase& c : conv_cases) {
    const std::string name = c.name;
    CAPTURE(name);
    const Shape y = conv2d_shape(c.x, c.w, c.spec);
    const Tensor gy = random(y, 6), x = random(c.x, 7);
    Tensor expected = Tensor::empty(c.w), magnitude = Tensor::empty(c.w);
    ref::conv2d_grad_weight(gy, x, c.spec, expected);
    ref::conv2d_grad_weight(absolute(gy), absolute(x), c.spec, magnitude);
    for (const Memory memory : every_memory) {
      Tensor gw = empty_in(memory, c.w);
      kernels::conv2d_grad_weight(in(memory, gy), in(memory, x), c.spec, gw);
      check_within(gw, expected, bound_of(magnitude, y[0] * y[2] * y[3]));
    }
  }
}

TEST_CASE("convolutions of an empty batch or of no channels give empty outputs and zero gradients") {
  const Conv2dSpec spec{.padding = {1, 1, 1, 1}};
  const Tensor none = random({0, 4, 5, 5}, 1), w = random({8, 4, 3, 3}, 2);
  Tensor y = Tensor::empty({0, 8, 5, 5});
  kernels::conv2d_forward(none, w, Tensor(), true, spec, y);
  Tensor gw = Tensor::full({8, 4, 3, 3}, 5);
  kernels::conv2d_grad_weight(y, none, spec, gw);
  check_equal(gw, Tensor::zeros({8, 4, 3, 3}));

  const Tensor bias = random({8}, 3);
  Tensor constant = Tensor::empty({2, 8, 5, 5}), expected = Tensor::empty({2, 8, 5, 5});
  const Tensor no_channels = Tensor::empty({2, 0, 5, 5}), no_weight = Tensor::empty({8, 0, 3, 3});
  kernels::conv2d_forward(no_channels, no_weight, bias, false, spec, constant);
  ref::copy(Tensor(bias.storage(), 0, {2, 8, 5, 5}, {0, 1, 0, 0}, DType::float32), expected);
  check_equal(constant, expected);

  const Tensor no_gradient = Tensor::empty({2, 0, 5, 5}), to_nothing = Tensor::empty({0, 4, 3, 3});
  Tensor gx = Tensor::full({2, 4, 5, 5}, 5);
  kernels::conv2d_grad_input(no_gradient, to_nothing, spec, gx);
  check_equal(gx, Tensor::zeros({2, 4, 5, 5}));
}

TEST_CASE("convolutions in float64 are the reference's") {
  const Conv2dSpec spec{.stride = {2, 2}, .padding = {1, 1, 1, 1}};
  Tensor x = Tensor::empty({2, 3, 8, 8}, DType::float64), w = Tensor::empty({4, 3, 3, 3}, DType::float64);
  ref::copy(random({2, 3, 8, 8}, 1), x);
  ref::copy(random({4, 3, 3, 3}, 2), w);
  Tensor y = Tensor::empty({2, 4, 4, 4}, DType::float64), expected = Tensor::empty({2, 4, 4, 4}, DType::float64);
  kernels::conv2d_forward(x, w, Tensor(), false, spec, y);
  ref::conv2d_forward(x, w, Tensor(), false, spec, expected);
  check_equal(y, expected);
}

TEST_CASE("a convolution repeated with the same number of threads gives the same bits, and plans follow that number") {
  const Conv2dSpec spec{.padding = {1, 1, 1, 1}};
  const Tensor gy = random({8, 32, 12, 12}, 1), x = random({8, 16, 12, 12}, 2);
  const int before = num_threads();
  Tensor exact = Tensor::empty({32, 16, 3, 3}), magnitude = Tensor::empty({32, 16, 3, 3});
  ref::conv2d_grad_weight(gy, x, spec, exact);
  ref::conv2d_grad_weight(absolute(gy), absolute(x), spec, magnitude);
  for (const int threads : {1, 2, 1}) {
    set_num_threads(threads);
    Tensor first = Tensor::empty({32, 16, 3, 3}), second = Tensor::empty({32, 16, 3, 3});
    kernels::conv2d_grad_weight(gy, x, spec, first);
    kernels::conv2d_grad_weight(gy, x, spec, second);
    CHECK(bits_of(first) == bits_of(second));
    check_within(first, exact, bound_of(magnitude, 8 * 12 * 12));
  }
  set_num_threads(before);
}
