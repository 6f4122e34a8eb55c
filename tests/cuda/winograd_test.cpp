// Winograd convolution on the GPU, by loops on the host: every pass, cut in every way, against float64. How it is
// chosen by the operations is tested by tests/core/winograd_test.cpp, which runs with these kernels too.
#include "core/cuda/winograd.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "core/accelerator.h"
#include "core/cuda/conv_check.h"
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
  WinogradCut cut;
};

const Case cases[] = {
    {{2, 16, 8, 8}, 16, {.padding = {1, 1, 1, 1}}, {2, 1}},  // whole tiles, one chunk
    {{1, 32, 7, 5}, 48, {.padding = {1, 1, 1, 1}}, {1, 2}},  // tiles cut at both borders
    {{2, 4, 8, 8}, 12, {}, {1, 1}},                          // no padding, a chunk per image
    {{1, 48, 5, 6}, 20, {.padding = {2, 2, 2, 2}}, {1, 3}},  // full padding
    {{3, 8, 9, 10}, 4, {.padding = {0, 1, 2, 1}}, {2, 2}},   // unequal padding, a last chunk that is smaller
    {{1, 8, 9, 6}, 8, {.padding = {2, 0, 0, 1}}, {1, 1}},    // and the other way
    {{1, 16, 1, 1}, 16, {.padding = {1, 1, 1, 1}}, {1, 4}},  // a single pixel, fewer tiles than parts
    {{5, 4, 3, 3}, 8, {}, {2, 1}},                           // a single output of an image
    {{1, 4, 6, 7}, 8, {.padding = {4, 3, 0, 5}}, {1, 1}},    // outputs that meet no input
    {{23, 12, 3, 4}, 8, {.padding = {1, 1, 1, 1}}, {5, 2}},  // many chunks
    {{7, 4, 13, 11}, 4, {.padding = {1, 1, 1, 1}}, {3, 4}},  // many tiles to a part
};

struct Passes {
  Tensor y, plain_y, gx, gw;
};

Passes run(const Case& c, Order order) {
  const Shape w_shape{c.out, c.x[1], 3, 3};
  const Tensor x = activations(c.x, 0), w = weight(w_shape, order), bias = random_normal({c.out}, 0, 1, {1, 2, 0});
  const Shape y_shape = conv2d_shape(c.x, w_shape, c.spec);
  const Tensor gy = activations(y_shape, 3);
  const Passes to = {unwritten(gy), unwritten(gy), unwritten(x), unwritten(w)};
  REQUIRE(winograd_can({x, w, to.y, bias, true}, c.spec));
  winograd(ConvPass::forward, {x, w, to.y, bias, true}, c.spec, c.cut);
  winograd(ConvPass::forward, {x, w, to.plain_y}, c.spec, c.cut);
  winograd(ConvPass::grad_input, {to.gx, w, gy}, c.spec, c.cut);
  winograd(ConvPass::grad_weight, {x, to.gw, gy}, c.spec, c.cut);
  return to;
}

Passes expected(const Case& c, Order order) {
  const auto wide = [](const Tensor& t) { return cast(t, DType::float64); };
  const Shape w_shape{c.out, c.x[1], 3, 3};
  const Tensor x = wide(activations(c.x, 0)), w = wide(weight(w_shape, order));
  const Tensor bias = wide(random_normal({c.out}, 0, 1, {1, 2, 0}));
  const Tensor gy = wide(activations(conv2d_shape(c.x, w_shape, c.spec), 3));
  return {conv2d(x, w, bias, c.spec, true), conv2d(x, w, {}, c.spec), conv2d_grad_input(gy, w, c.spec, x.shape()),
          conv2d_grad_weight(gy, x, c.spec, w.shape())};
}

}  // namespace

TEST_CASE("every pass agrees with float64 for every geometry and every cut") {
  for (const Order order : every_order) {
    for (const Case& c : cases) {
      CAPTURE(c.x);
      CAPTURE(static_cast<int>(order));
      const Passes got = run(c, order), wanted = expected(c, order);
      // As on the CPU: F(4x4, 3x3) amplifies rounding about ten times over the direct sum, 2^-24 times some 20.
      CHECK(relative_error(got.y, wanted.y) < 4e-6);
      CHECK(relative_error(got.plain_y, wanted.plain_y) < 4e-6);
      CHECK(relative_error(got.gx, wanted.gx) < 4e-6);
      CHECK(relative_error(got.gw, wanted.gw) < 4e-6);
    }
  }
}

TEST_CASE("the order of threads and blocks changes no bit: there are no races") {
  for (const Case& c : cases) {
    CAPTURE(c.x);
    const Passes forward = run(c, Order::contiguous);
    gradus_cuda_on_host_reverse(true);
    const Passes backward = run(c, Order::contiguous);
    gradus_cuda_on_host_reverse(false);
    const auto same = [](const Tensor& first, const Tensor& second) {
      return first.to_vector<float>() == second.to_vector<float>();
    };
    CHECK(same(forward.y, backward.y));
    CHECK(same(forward.plain_y, backward.plain_y));
    CHECK(same(forward.gx, backward.gx));
    CHECK(same(forward.gw, backward.gw));
  }
}

TEST_CASE("chunks change no bit of outputs and of the input's gradient") {
  Case c{{6, 8, 9, 10}, 12, {.padding = {1, 1, 1, 1}}, {6, 1}};
  const Passes whole = run(c, Order::contiguous);
  for (const int64_t images : {1, 4, 5}) {
    c.cut.images = images;
    const Passes cut = run(c, Order::contiguous);
    CHECK(cut.y.to_vector<float>() == whole.y.to_vector<float>());
    CHECK(cut.gx.to_vector<float>() == whole.gx.to_vector<float>());
  }
}

TEST_CASE("what the kernels cannot do is refused") {
  const Conv2dSpec spec{.padding = {1, 1, 1, 1}};
  const Tensor x = activations({2, 8, 6, 6}, 0), w = random_normal({4, 8, 3, 3}, 0, 1, {}),
               y = activations({2, 4, 6, 6}, 1);
  CHECK(winograd_can({x, w, y}, spec));
  CHECK_FALSE(winograd_can({contiguous(x, Layout::contiguous), w, y}, spec));
  CHECK_FALSE(winograd_can({x, w, y}, {.padding = {1, 1, 1, 1}, .dilation = {1, 2}}));
  CHECK_FALSE(winograd_can({x, w, y}, {.stride = {2, 1}, .padding = {1, 1, 1, 1}}));
  CHECK_FALSE(winograd_can({x, w, y}, {.padding = {1, 1, 1, 1}, .groups = 2}));
  CHECK_FALSE(winograd_can({x, random_normal({4, 8, 3, 1}, 0, 1, {}), y}, spec));
  CHECK_FALSE(winograd_can({x, random_normal({6, 8, 3, 3}, 0, 1, {}), activations({2, 6, 6, 6}, 1)}, spec));
  CHECK_FALSE(winograd_can({cast(x, DType::bfloat16), w, cast(y, DType::bfloat16)}, spec));
  set_accelerator({.tf32 = true});
  CHECK_FALSE(winograd_can({x, w, y}, spec));
  set_accelerator({});
}

TEST_CASE("the rule takes All-CNN-C's layers of many channels, and nothing small") {
  const auto pays = [](int64_t batch, int64_t side, int64_t in, int64_t out) {
    return winograd_pays({batch, in, side, side}, {out, in, 3, 3}, {batch, out, side, side});
  };
  CHECK(pays(128, 32, 96, 96));
  CHECK(pays(128, 16, 96, 192));
  CHECK(pays(128, 16, 192, 192));
  CHECK(pays(128, 8, 192, 192));
  CHECK_FALSE(pays(128, 32, 3, 96));
  CHECK_FALSE(pays(2, 8, 96, 96));
  CHECK_FALSE(pays(1, 8, 512, 512));
  CHECK_FALSE(pays(4096, 1, 512, 512));  // most of each tile hangs over the border
}

TEST_CASE("a cut's chunks are even, and its parts leave sums that are long enough") {
  for (const int64_t batch : {1, 2, 100, 128, 1000}) {
    for (const int64_t side : {4, 8, 16, 32, 224}) {
      for (const int64_t channels : {32, 96, 192, 512}) {
        const Shape x{batch, channels, side, side}, w{channels, channels, 3, 3};
        CAPTURE(x);
        for (const ConvPass pass : {ConvPass::forward, ConvPass::grad_input, ConvPass::grad_weight}) {
          const WinogradCut cut = winograd_cut(pass, x, w, x);
          REQUIRE(cut.images >= 1);
          CHECK(cut.images <= batch);
          const int64_t tiles = cut.images * (side / 4) * (side / 4);
          CHECK((cut.images == 1 || 36 * tiles * 2 * channels * 4 <= int64_t{64} << 20));
          CHECK(cut.parts >= 1);
          CHECK((cut.parts == 1 || (pass == ConvPass::grad_weight && tiles / cut.parts >= 128)));
        }
      }
    }
  }
}

TEST_CASE("an operation takes it by the rule, after one check") {
  const Conv2dSpec spec{.padding = {1, 1, 1, 1}};
  const Tensor x = activations({16, 96, 16, 16}, 0), w = random_normal({96, 96, 3, 3}, 0, 1, {});
  REQUIRE(winograd_pays(x.shape(), w.shape(), x.shape()));
  const auto launches = [&] {
    const int64_t before = gradus_cuda_on_host_launches();
    conv2d(x, w, {}, spec);
    return gradus_cuda_on_host_launches() - before;
  };
  CHECK(launches() > 3);
  CHECK(launches() == 3);  // the filters' points, the inputs' points, the outputs
}

TEST_CASE("an algorithm whose ReLU makes 0 of NaN, everywhere or here and there, is refused and named") {
  std::vector<std::string> warnings;
  set_warning_handler([&](const std::string& line) { warnings.push_back(line); });
  const Conv2dSpec spec{.padding = {4, 1, 1, 1}};  // the first row of windows lies in the padding alone
  for (const bool relu : {false, true}) {
    const ConvKey key = {
        .pass = ConvPass::forward, .relu = relu, .x = {2, 4, 5, 5}, .w = {4, 4, 3, 3}, .y = {2, 4, 8, 5}, .spec = spec};
    const ConvOperands operands = random_operands(key);
    const auto right = [&](const ConvOperands& o) { plain_conv(key.pass, o, spec); };
    CHECK(keeps_nan(key, operands, "this one", right));
    CHECK(all_finite(operands.x));
    for (const int64_t dropped : {8, 1}) {
      const auto drops = [&](const ConvOperands& o) {
        right(o);
        Tensor rows = slice(o.y, 2, 8 - dropped, 8);
        kernels::fill(0, rows);
      };
      CHECK(keeps_nan(key, operands, "this one", drops) == !relu);
    }
  }
  set_warning_handler(nullptr);
  REQUIRE(warnings.size() == 2);
  CHECK(warnings[0].starts_with("[conv2d] this one is not used for conv2d float32 x [2,4,5,5] "));
  CHECK(warnings[0].ends_with(" relu: its ReLU makes 0 of NaN"));
}

TEST_CASE("an algorithm that is wrong, leaves something unwritten or fails is refused and named") {
  std::vector<std::string> warnings;
  set_warning_handler([&](const std::string& line) { warnings.push_back(line); });
  const Conv2dSpec spec{.padding = {1, 1, 1, 1}};
  const ConvKey key = {
      .pass = ConvPass::forward, .x = {1, 4, 5, 5}, .w = {4, 4, 3, 3}, .y = {1, 4, 5, 5}, .spec = spec};
  const ConvOperands operands = random_operands(key);
  const auto passes = [&](const std::string& failure, double scale) {
    return passes_check(key, operands, "this one", [&] {
      if (scale != 0) winograd(key.pass, operands, spec, {1, 1});
      Tensor y = operands.y;
      scale_(y, scale != 0 ? scale : 1);
      return failure;
    });
  };
  CHECK(passes("", 1));
  CHECK(warnings.empty());
  CHECK_FALSE(passes("", 1.01));
  CHECK_FALSE(passes("", 0));
  CHECK_FALSE(passes("no reason", 1));
  set_warning_handler(nullptr);
  REQUIRE(warnings.size() == 3);
  const std::string named =
      "[conv2d] this one is not used for conv2d float32 x [1,4,5,5] w [4,4,3,3] stride [1,1] padding "
      "[1,1,1,1] dilation [1,1] groups 1: ";
  CHECK(warnings[0].starts_with(named + "its result is off by 0.01"));
  CHECK(warnings[1] == named + "its result is off by nan of its size, at most 0.0001 is rounding");
  CHECK(warnings[2] == named + "it fails to run, no reason");
}
