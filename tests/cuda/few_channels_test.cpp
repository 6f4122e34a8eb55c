// Convolution of few input channels on the GPU, by loops on the host: both passes of strict float32, in every geometry,
// against float64; and when the kernels are taken, the tensor cores' too.
#include "core/cuda/few_channels.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "core/accelerator.h"
#include "core/convolution.h"
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
    {{1, 2, 9, 6}, 8, {.padding = {2, 0, 0, 1}}},                          // and the other way, one group
    {{2, 3, 15, 17}, 16, {.stride = {2, 2}, .padding = {1, 1, 1, 1}}},     // stride
    {{2, 4, 14, 19}, 48, {.stride = {3, 2}, .padding = {1, 1, 1, 1}}, 3},  // another one for rows
    {{1, 2, 12, 21}, 32, {.stride = {2, 1}, .padding = {1, 2, 1, 0}}},     // rows only
    {{1, 3, 13, 20}, 16, {.padding = {2, 3, 2, 3}, .dilation = {2, 3}}},   // dilation
    {{1, 3, 11, 10}, 16, {.padding = {2, 1, 2, 1}, .dilation = {2, 1}}},   // rows only
    {{1, 3, 1, 1}, 16, {.padding = {1, 1, 1, 1}}},                         // a single pixel
    {{1, 3, 6, 7}, 16, {.padding = {4, 3, 0, 5}}},                         // outputs that meet no input
    {{1, 3, 5, 9}, 512, {.padding = {1, 1, 1, 1}}, 3},                     // many channels, in slices
    {{1, 4, 6, 9}, 520, {.padding = {1, 1, 1, 1}}},                        // slices of unequal sizes
    {{1, 4, 4, 6}, 136, {.padding = {1, 1, 1, 1}}},                        // in both passes, or in one
    {{40, 1, 6, 9}, 8, {.padding = {1, 1, 1, 1}}, 1},                      // one block many times, many streams
    {{30, 4, 5, 17}, 16, {.stride = {1, 2}, .padding = {1, 1, 1, 1}}, 1},  // the same with gaps
    {{24, 3, 16, 16}, 96, {.padding = {1, 1, 1, 1}}},                      // more blocks than runs to a block
};

struct Problem {
  Tensor x, w, bias, gy;
};

Problem problem(const Case& c, DType dtype, Order order) {
  const Shape w{c.out, c.x[1], 3, 3};
  return {activations_in(order, c.x, 0, dtype), weight(w, order), random_normal({c.out}, 0, 1, {1, 2, 0}),
          activations(conv2d_shape(c.x, w, c.spec), 3, dtype)};
}

struct Passes {
  Tensor y, plain_y, gw;
};

Passes run(const Case& c, const Problem& p) {
  const Passes to = {unwritten(p.gy), unwritten(p.gy), unwritten(p.w)};
  REQUIRE(few_channels_can(ConvPass::forward, {p.x, p.w, to.y, p.bias, true}, c.spec));
  REQUIRE(few_channels_can(ConvPass::grad_weight, {p.x, to.gw, p.gy}, c.spec));
  few_channels(ConvPass::forward, {p.x, p.w, to.y, p.bias, true}, c.spec, {}, c.most_blocks);
  few_channels(ConvPass::forward, {p.x, p.w, to.plain_y}, c.spec, {}, c.most_blocks);
  few_channels(ConvPass::grad_weight, {p.x, to.gw, p.gy}, c.spec, {}, c.most_blocks);
  return to;
}

/// In float64, of parameters that are rounded to the activations' dtype.
Passes expected(const Case& c, const Problem& p) {
  const auto wide = [](const Tensor& t) { return cast(t, DType::float64); };
  const Tensor x = wide(p.x), w = wide(cast(p.w, p.x.dtype())), bias = wide(cast(p.bias, p.x.dtype())), gy = wide(p.gy);
  return {conv2d(x, w, bias, c.spec, true), conv2d(x, w, {}, c.spec), conv2d_grad_weight(gy, x, c.spec, w.shape())};
}

template <class Body>
void for_every_problem(Body&& body) {
  for (const Order order : every_order)
    for (const Case& c : cases) {
      CAPTURE(c.x);
      CAPTURE(c.out);
      CAPTURE(static_cast<int>(order));
      body(c, problem(c, DType::float32, order));
    }
}

}  // namespace

TEST_CASE("few input channels: both passes agree with float64 for every geometry") {
  for_every_problem([](const Case& c, const Problem& p) {
    const Passes got = run(c, p), wanted = expected(c, p);
    // A sum of n products of either sign is of size sqrt(n), and so were its partial sums, each rounded by 2^-24 at
    // most: the relative error is below sqrt(n) 2^-24.
    const auto rounding = [](double terms) { return std::sqrt(terms) * std::ldexp(1, -24); };
    const double terms = 9 * static_cast<double>(c.x[1]) + 1;
    const double pixels = static_cast<double>(p.gy.numel()) / static_cast<double>(c.out);
    CHECK(relative_error(got.y, wanted.y) <= rounding(terms));
    CHECK(relative_error(got.plain_y, wanted.plain_y) <= rounding(terms));
    CHECK(relative_error(got.gw, wanted.gw) <= rounding(pixels));
  });
}

TEST_CASE("few input channels: the order of threads and blocks changes no bit: there are no races") {
  for_every_problem([](const Case& c, const Problem& p) {
    const Passes forward = run(c, p);
    gradus_cuda_on_host_reverse(true);
    const Passes backward = run(c, p);
    gradus_cuda_on_host_reverse(false);
    CHECK(same(forward.y, backward.y));
    CHECK(same(forward.plain_y, backward.plain_y));
    CHECK(same(forward.gw, backward.gw));
  });
}

TEST_CASE("few input channels: the number of blocks changes no bit of the outputs") {
  for_every_problem([](Case c, const Problem& p) {
    const Passes one = run(c, p);
    for (const int64_t blocks : {1, 2, 5}) {
      c.most_blocks = blocks;
      CHECK(same(run(c, p).y, one.y));
    }
  });
}

TEST_CASE("few input channels: no number stays none, in its outputs and its taps alone") {
  const Case c{{1, 3, 6, 11}, 16, {.padding = {1, 1, 1, 1}}};
  const auto count_nan = [](const Tensor& t) {
    const std::vector<double> values = cast(t, DType::float64).to_vector<double>();
    return std::count_if(values.begin(), values.end(), [](double v) { return std::isnan(v); });
  };
  for (const DType dtype : {DType::float32, DType::bfloat16}) {
    Problem p = problem(c, dtype, Order::channels_last);
    Tensor corner = slice(slice(slice(p.x, 1, 1, 2), 2, 0, 1), 3, 10, 11);  // the last pixel of the first row
    fill_(corner, NAN);
    const Passes got = run(c, p);
    CHECK(count_nan(got.y) == 4 * 16);  // through ReLU
    CHECK(count_nan(got.plain_y) == 4 * 16);
    CHECK(count_nan(slice(got.gw, 1, 1, 2)) == count_nan(got.gw));
    CHECK(count_nan(got.gw) >= 4 * 16);
  }
}

TEST_CASE("few input channels: in bfloat16 a weight's gradient is not rounded, unless the weight is bfloat16") {
  const Case c{{2, 3, 8, 8}, 16, {.padding = {1, 1, 1, 1}}};
  const Problem p = problem(c, DType::bfloat16, Order::channels_last);
  const Tensor wide = run(c, p).gw, narrow = cast(p.w, DType::bfloat16);
  CHECK_FALSE(same(cast(cast(wide, DType::bfloat16), DType::float32), wide));
  few_channels(ConvPass::grad_weight, {p.x, narrow, p.gy}, c.spec);
  CHECK(same(narrow, cast(wide, DType::bfloat16)));
}

TEST_CASE("few input channels: what the kernels cannot do is refused") {
  const Conv2dSpec spec{.padding = {1, 1, 1, 1}};
  const DType f32 = DType::float32;
  const Tensor x = activations({2, 3, 6, 6}, 0, f32), y = activations({2, 16, 6, 6}, 1, f32);
  const Tensor w = random_normal({16, 3, 3, 3}, 0, 1, {});
  const auto can = [&](const ConvOperands& o, const Conv2dSpec& spec) {
    const bool forward = few_channels_can(ConvPass::forward, o, spec);
    CHECK(forward == few_channels_can(ConvPass::grad_weight, o, spec));
    return forward;
  };
  CHECK(can({x, w, y}, spec));
  CHECK(can({cast(x, DType::bfloat16), w, cast(y, DType::bfloat16)}, spec));
  CHECK_FALSE(few_channels_can(ConvPass::grad_input, {x, w, y}, spec));
  CHECK_FALSE(can({x, w, contiguous(y, Layout::contiguous)}, spec));
  CHECK_FALSE(can({x, w, cast(y, DType::bfloat16)}, spec));
  CHECK_FALSE(can({cast(x, DType::float64), cast(w, DType::float64), cast(y, DType::float64)}, spec));
  CHECK_FALSE(can({x, random_normal({16, 3, 3, 1}, 0, 1, {}), y}, spec));
  CHECK_FALSE(can({x, random_normal({20, 3, 3, 3}, 0, 1, {}), activations({2, 20, 6, 6}, 1, f32)}, spec));
  CHECK_FALSE(can({activations({2, 5, 6, 6}, 0, f32), random_normal({16, 5, 3, 3}, 0, 1, {}), y}, spec));
  CHECK_FALSE(can({activations({2, 4, 6, 6}, 0, f32), random_normal({16, 2, 3, 3}, 0, 1, {}), y},
                  {.padding = {1, 1, 1, 1}, .groups = 2}));
  set_accelerator({.tf32 = true});
  CHECK(can({x, w, y}, spec));
  set_accelerator({});
}

TEST_CASE("few input channels: the rule takes first layers, and nothing small") {
  const auto pays = [](int64_t batch, int64_t height, int64_t width, int64_t out) {
    return few_channels_pays({out, 3, 3, 3}, {batch, out, height, width});
  };
  CHECK(pays(128, 32, 32, 96));
  CHECK(pays(100, 32, 32, 16));
  CHECK(pays(32, 112, 112, 64));
  CHECK_FALSE(pays(2, 32, 32, 96));
  CHECK_FALSE(pays(128, 32, 32, 8));
  CHECK_FALSE(pays(128, 32, 32, 1024));
  CHECK_FALSE(pays(128, 1024, 3, 96));
}

TEST_CASE("few input channels: operations take the kernels by the rule, after one check, and cuDNN where told to") {
  std::vector<std::string> warnings;
  set_warning_handler([&](const std::string& line) { warnings.push_back(line); });
  const Conv2dSpec spec{.padding = {1, 1, 1, 1}};
  for (const DType dtype : {DType::float32, DType::bfloat16}) {
    const Tensor x = activations({64, 3, 8, 8}, 0, dtype), gy = activations({64, 16, 8, 8}, 1, dtype);
    const Tensor w = random_normal({16, 3, 3, 3}, 0, 1, {}), bias = random_normal({16}, 0, 1, {1, 2, 0});
    REQUIRE(few_channels_pays(w.shape(), gy.shape()));
    const auto launches = [](const auto& work) {
      const int64_t before = gradus_cuda_on_host_launches();
      work();
      return gradus_cuda_on_host_launches() - before;
    };
    Tensor gw;
    const auto forward = [&] { conv2d(x, w, bias, spec, true); };
    const auto backward = [&] { gw = conv2d_grad_weight(gy, x, spec, w.shape()); };
    CHECK(launches(forward) > 1);
    CHECK(launches(forward) == 1);
    CHECK(launches(backward) > 2);
    CHECK(launches(backward) == 2);  // the blocks' parts, their sums
    Tensor direct = unwritten(gw);
    few_channels(ConvPass::grad_weight, {x, direct, gy}, spec);
    CHECK(same(gw, direct));
    const Tensor y = conv2d(x, w, bias, spec, true);
    set_conv_algorithm(ConvAlgorithm::direct);
    const Tensor by_library = conv2d(x, w, bias, spec, true);
    set_conv_algorithm(ConvAlgorithm::automatic);
    if (dtype == DType::float32) CHECK_FALSE(same(y, by_library));  // which here adds in double
    CHECK(relative_error(y, by_library) <= (dtype == DType::float32 ? 1e-6 : std::ldexp(1, -7)));
  }
  set_warning_handler(nullptr);
  CHECK(warnings.empty());
}
