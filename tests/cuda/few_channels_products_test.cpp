// The tensor cores' kernels for few input channels, by loops on the host, against float64 of operands rounded as the
// tensor cores round them: both passes, in every geometry, and the gradients through ReLU.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <span>

#include "core/accelerator.h"
#include "core/cuda/few_channels.h"
#include "core/error.h"
#include "core/ops.h"
#include "tests/cuda/convolution.h"

using namespace gradus;
using namespace gradus::cuda;
using namespace gradus::testing;

namespace {

struct Case {
  Shape x;
  int64_t out;
  Conv2dSpec spec;
  int64_t most_blocks = few_channels_blocks;
};

const Case cases[] = {
    {{2, 3, 8, 16}, 96, {.padding = {1, 1, 1, 1}}},                        // whole runs
    {{2, 3, 9, 13}, 16, {.padding = {1, 1, 1, 1}}, 1},                     // runs cut at the end, one block
    {{1, 1, 7, 5}, 24, {}},                                                // no padding, one channel
    {{3, 4, 10, 9}, 40, {.padding = {0, 1, 2, 1}}, 2},                     // unequal padding, a last block with less
    {{1, 2, 9, 6}, 8, {.padding = {2, 0, 0, 1}}},                          // and the other way, few channels
    {{2, 3, 15, 17}, 104, {.stride = {2, 2}, .padding = {1, 1, 1, 1}}},    // stride, channels in unequal slices
    {{2, 4, 14, 19}, 48, {.stride = {3, 2}, .padding = {1, 1, 1, 1}}, 3},  // another one for rows
    {{1, 2, 12, 21}, 32, {.stride = {2, 1}, .padding = {1, 2, 1, 0}}},     // rows only
    {{1, 3, 13, 20}, 16, {.padding = {2, 3, 2, 3}, .dilation = {2, 3}}},   // dilation
    {{1, 1, 11, 10}, 16, {.padding = {2, 1, 2, 1}, .dilation = {2, 1}}},   // rows only
    {{2, 2, 11, 20}, 72, {.stride = {1, 3}, .padding = {1, 2, 1, 2}, .dilation = {1, 2}}},  // both, columns only
    {{1, 3, 1, 1}, 16, {.padding = {1, 1, 1, 1}}},                                          // a single pixel
    {{1, 3, 6, 7}, 16, {.padding = {4, 3, 0, 5}}},                         // outputs that meet no input
    {{1, 3, 5, 9}, 512, {.padding = {1, 1, 1, 1}}, 3},                     // many channels, in slices
    {{1, 4, 6, 9}, 520, {.padding = {1, 1, 1, 1}}},                        // slices of unequal sizes
    {{4, 3, 32, 32}, 96, {.padding = {1, 1, 1, 1}}},                       // All-CNN-C's first layer
    {{40, 1, 6, 9}, 8, {.padding = {1, 1, 1, 1}}, 1},                      // one block many times, many streams
    {{30, 4, 5, 17}, 96, {.stride = {1, 2}, .padding = {1, 1, 1, 1}}, 1},  // the same with gaps
};

/// bfloat16, and float32 in TF32 mode.
constexpr DType types[] = {DType::bfloat16, DType::float32};

struct Problem {
  Tensor x, w, bias, gy, after;  // after: in place of y, of either sign
};

Problem problem(const Case& c, DType dtype, Order order) {
  const Shape w{c.out, c.x[1], 3, 3}, y = conv2d_shape(c.x, w, c.spec);
  return {activations_in(order, c.x, 0, dtype), weight(w, order), random_normal({c.out}, 0, 1, {1, 2, 0}),
          activations(y, 3, dtype), activations(y, 4, dtype)};
}

struct Passes {
  Tensor y, plain_y, gw, masked_gw, gbias;
};

Passes run(const Case& c, const Problem& p) {
  const Passes to = {unwritten(p.gy), unwritten(p.gy), unwritten(p.w), unwritten(p.w), unwritten(p.bias)};
  REQUIRE(few_channels_can(ConvPass::forward, {p.x, p.w, to.y, p.bias, true}, c.spec));
  REQUIRE(few_channels_can(ConvPass::grad_weight, {p.x, to.gw, p.gy}, c.spec));
  REQUIRE(few_channels_masks({p.x, to.gw, p.gy}, {p.after, to.gbias}));
  few_channels(ConvPass::forward, {p.x, p.w, to.y, p.bias, true}, c.spec, {}, c.most_blocks);
  few_channels(ConvPass::forward, {p.x, p.w, to.plain_y}, c.spec, {}, c.most_blocks);
  few_channels(ConvPass::grad_weight, {p.x, to.gw, p.gy}, c.spec, {}, c.most_blocks);
  few_channels(ConvPass::grad_weight, {p.x, to.masked_gw, p.gy}, c.spec, {p.after, to.gbias}, c.most_blocks);
  return to;
}

/// In float64, rounded to the nearest of 11 bits, from halves away from zero.
Tensor rounded_to_tf32(const Tensor& t) {
  Tensor wide = contiguous(cast(t, DType::float64));
  for (double& value : std::span(wide.data<double>(), static_cast<size_t>(wide.numel()))) {
    int exponent = 0;
    const double fraction = std::frexp(value, &exponent);
    value = std::ldexp(std::round(std::ldexp(fraction, 11)), exponent - 11);
  }
  return wide;
}

Tensor as_operand(const Tensor& t, DType dtype) {
  return dtype == DType::bfloat16 ? cast(cast(t, dtype), DType::float64) : rounded_to_tf32(t);
}

Passes expected(const Case& c, const Problem& p) {
  const DType dtype = p.x.dtype();
  const Tensor x = as_operand(p.x, dtype), w = as_operand(p.w, dtype), gy = as_operand(p.gy, dtype);
  const Tensor bias = cast(cast(p.bias, dtype), DType::float64);
  const BiasReluGradients before = bias_relu_backward(cast(p.gy, DType::float64), cast(p.after, DType::float64));
  return {conv2d(x, w, bias, c.spec, true), conv2d(x, w, {}, c.spec), conv2d_grad_weight(gy, x, c.spec, w.shape()),
          conv2d_grad_weight(as_operand(before.gz, dtype), x, c.spec, w.shape()), before.gbias};
}

template <class Body>
void for_every_problem(std::span<const Order> orders, Body&& body) {
  const InTf32 mode;
  for (const DType dtype : types)
    for (const Order order : orders)
      for (const Case& c : cases) {
        CAPTURE(c.x);
        CAPTURE(c.out);
        CAPTURE(dtype);
        CAPTURE(static_cast<int>(order));
        body(c, problem(c, dtype, order));
      }
}
/// In one memory order, on which only the first loads depend.
template <class Body>
void for_every_geometry(Body&& body) {
  for_every_problem(std::span(every_order).first(1), body);
}

int64_t count_nan(const Tensor& t) {
  const std::vector<double> values = cast(t, DType::float64).to_vector<double>();
  return std::count_if(values.begin(), values.end(), [](double v) { return std::isnan(v); });
}

}  // namespace

TEST_CASE("few input channels on tensor cores: all passes agree with float64 of rounded operands") {
  for_every_problem(every_order, [](const Case& c, const Problem& p) {
    const Passes got = run(c, p), wanted = expected(c, p);
    // Products are exact. A sum of n of either sign is of size sqrt(n), and so were its partial sums, each rounded by
    // 2^-24 at most: the relative error is below sqrt(n) 2^-24. Rounding to bfloat16 adds 2^-8 at most.
    const auto rounding = [](double terms) { return std::sqrt(terms) * std::ldexp(1, -24); };
    const double narrow = p.x.dtype() == DType::bfloat16 ? std::ldexp(1, -8) : 0;
    const double terms = 9 * static_cast<double>(c.x[1]) + 1;
    const double pixels = static_cast<double>(p.gy.numel()) / static_cast<double>(c.out);
    CHECK(relative_error(got.y, wanted.y) <= rounding(terms) + narrow);
    CHECK(relative_error(got.plain_y, wanted.plain_y) <= rounding(terms) + narrow);
    CHECK(relative_error(got.gw, wanted.gw) <= rounding(pixels));
    CHECK(relative_error(got.masked_gw, wanted.masked_gw) <= rounding(pixels));
    CHECK(relative_error(got.gbias, wanted.gbias) <= rounding(pixels));
  });
}

TEST_CASE("few input channels on tensor cores: the order of warps and blocks changes no bit: there are no races") {
  for_every_geometry([](const Case& c, const Problem& p) {
    const Passes forward = run(c, p);
    gradus_cuda_on_host_reverse(true);
    const Passes backward = run(c, p);
    gradus_cuda_on_host_reverse(false);
    CHECK(same(forward.y, backward.y));
    CHECK(same(forward.plain_y, backward.plain_y));
    CHECK(same(forward.gw, backward.gw));
    CHECK(same(forward.masked_gw, backward.masked_gw));
    CHECK(same(forward.gbias, backward.gbias));
  });
}

TEST_CASE("few input channels on tensor cores: the number of blocks changes no bit of the outputs") {
  for_every_geometry([](const Case& c, const Problem& p) {
    const auto forward = [&](int64_t blocks) {
      const Tensor y = unwritten(p.gy);
      few_channels(ConvPass::forward, {p.x, p.w, y, p.bias, true}, c.spec, {}, blocks);
      return y;
    };
    const Tensor y = forward(few_channels_blocks);
    for (const int64_t blocks : {1, 2, 5}) CHECK(same(forward(blocks), y));
  });
}

TEST_CASE("few input channels on tensor cores: through ReLU in one pass is what two passes give") {
  for_every_geometry([](const Case& c, Problem p) {
    Tensor row = slice(p.after, 2, 0, 1);
    fill_(row, NAN);  // which lets nothing pass
    const Passes got = run(c, p);
    p.gy = bias_relu_backward(p.gy, p.after).gz;
    const Passes apart = run(c, p);
    CHECK(same(got.masked_gw, apart.gw));
    if (p.gy.shape()[2] > 1) CHECK(relative_error(got.gbias, sum(cast(p.gy, DType::float64), {0, 2, 3})) <= 1e-5);
  });
}

TEST_CASE("few input channels on tensor cores: no number stays none, in its outputs, taps and channels alone") {
  const InTf32 mode;
  const Case c{{1, 3, 6, 11}, 16, {.padding = {1, 1, 1, 1}}};
  for (const DType dtype : types) {
    Problem p = problem(c, dtype, Order::channels_last);
    Tensor corner = slice(slice(slice(p.x, 1, 1, 2), 2, 0, 1), 3, 10, 11);  // the last pixel of the first row
    fill_(corner, NAN);
    const Passes got = run(c, p);
    CHECK(count_nan(got.y) == 4 * 16);  // through ReLU
    CHECK(count_nan(got.plain_y) == 4 * 16);
    CHECK(count_nan(slice(got.gw, 1, 1, 2)) == count_nan(got.gw));
    CHECK(count_nan(got.gw) >= 4 * 16);
    CHECK(count_nan(got.gbias) == 0);

    p = problem(c, dtype, Order::channels_last);
    Tensor gradient = slice(slice(slice(p.gy, 1, 5, 6), 2, 3, 4), 3, 9, 10);
    Tensor after = slice(slice(slice(p.after, 1, 5, 6), 2, 3, 4), 3, 9, 10);
    fill_(gradient, NAN);
    fill_(after, 1);
    const Passes passed = run(c, p);
    CHECK(count_nan(passed.masked_gw) == 27);
    CHECK(count_nan(slice(passed.masked_gw, 0, 5, 6)) == 27);
    CHECK(count_nan(passed.gbias) == 1);
    fill_(after, 0);
    const Passes stopped = run(c, p);
    CHECK(count_nan(stopped.masked_gw) + count_nan(stopped.gbias) == 0);
  }
}

TEST_CASE("few input channels on tensor cores: gradients take their tensors' dtypes and strides") {
  const InTf32 mode;
  const Case c{{2, 3, 8, 8}, 16, {.padding = {1, 1, 1, 1}}};
  const Problem p = problem(c, DType::bfloat16, Order::channels_last);
  const Passes wide = run(c, p);
  CHECK_FALSE(same(cast(cast(wide.gw, DType::bfloat16), DType::float32), wide.gw));
  const Tensor narrow = cast(p.w, DType::bfloat16), every_second = unwritten(random_normal({16, 2}, 0, 1, {}));
  const Tensor gbias = reshape(slice(every_second, 1, 0, 1), {16});
  few_channels(ConvPass::grad_weight, {p.x, narrow, p.gy}, c.spec, {p.after, gbias});
  CHECK(same(narrow, cast(wide.masked_gw, DType::bfloat16)));
  CHECK(same(gbias, wide.gbias));
}

TEST_CASE("few input channels on tensor cores: parameters' gradients take one pass by the rule, after one check") {
  const InTf32 mode;
  std::vector<std::string> warnings;
  set_warning_handler([&](const std::string& line) { warnings.push_back(line); });
  const Conv2dSpec spec{.padding = {1, 1, 1, 1}};
  const auto launches = [](const auto& work) {
    const int64_t before = gradus_cuda_on_host_launches();
    work();
    return gradus_cuda_on_host_launches() - before;
  };
  for (const DType dtype : types) {
    const Tensor x = activations({64, 3, 8, 8}, 0, dtype), gy = activations({64, 24, 8, 8}, 1, dtype);
    const Tensor y = activations({64, 24, 8, 8}, 2, dtype);
    const Shape w{24, 3, 3, 3};
    ConvGradients got;
    const auto backward = [&] { got = conv2d_parameter_gradients(gy, y, x, spec, w); };
    CHECK(launches(backward) > 2);
    CHECK(launches(backward) == 2);  // the blocks' parts, their sums
    Tensor direct = unwritten(got.weight), gbias = unwritten(got.bias);
    few_channels(ConvPass::grad_weight, {x, direct, gy}, spec, {y, gbias});
    CHECK(same(got.weight, direct));
    CHECK(same(got.bias, gbias));
    // A gradient that is a broadcast, as a mean leaves it, goes by two passes.
    const Tensor mean = expand(slice(slice(gy, 2, 0, 1), 3, 0, 1), gy.shape());
    ConvGradients by_mean = conv2d_parameter_gradients(mean, y, x, spec, w);
    const BiasReluGradients before = bias_relu_backward(mean, y);
    CHECK(same(by_mean.weight, conv2d_grad_weight(before.gz, x, spec, w)));
    CHECK(same(by_mean.bias, before.gbias));
    // And so does strict float32.
    CHECK(few_channels_masks({x, direct, gy}, {y, gbias}));
    set_accelerator({});
    CHECK(few_channels_masks({x, direct, gy}, {y, gbias}) == (dtype == DType::bfloat16));
    set_accelerator({.tf32 = true});
    CHECK_FALSE(few_channels_masks({x, direct, gy}, {}));
  }
  set_warning_handler(nullptr);
  CHECK(warnings.empty());
}
