// The weight's gradient in TF32 on the GPU, by loops on the host: every geometry against float64 of the same rounded
// operands.
#include "core/cuda/grad_weight.h"

#include <doctest/doctest.h>

#include <bit>
#include <cmath>

#include "core/accelerator.h"
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
  int64_t blocks = grad_weight_blocks;
};

const Conv2dSpec same_size = {.padding = {1, 1, 1, 1}}, half_size = {.stride = {2, 2}, .padding = {1, 1, 1, 1}};

const Case cases[] = {
    {{2, 32, 8, 8}, 96, same_size},                                        // whole windows, one to a block
    {{3, 32, 16, 32}, 96, same_size, 2},                                   // many windows of a block
    {{2, 96, 9, 13}, 96, same_size, 7},                                    // windows that hang over, slices of inputs
    {{1, 32, 3, 40}, 64, same_size},                                       // flat windows
    {{2, 36, 6, 30}, 192, same_size, 1},                                   // inputs that fill no slice, outputs two
    {{1, 4, 5, 5}, 4, {}},                                                 // few channels, no padding
    {{2, 68, 7, 6}, 100, {.padding = {0, 1, 2, 1}}, 5},                    // unequal padding
    {{1, 32, 4, 5}, 64, {.padding = {3, 0, 0, 4}}},                        // outputs that meet no input
    {{2, 32, 16, 16}, 96, half_size},                                      // stride
    {{2, 40, 15, 17}, 128, half_size, 3},                                  // the same at odd sizes
    {{1, 32, 6, 65}, 64, {.stride = {2, 2}, .padding = {0, 1, 1, 0}}, 2},  // flat windows with stride
    {{5, 32, 9, 8}, 96, {.stride = {2, 2}}, 1},
    {{1, 32, 1, 1}, 96, same_size},  // a single pixel
};

struct Problem {
  Tensor x, gy, w;
};

Problem problem(const Case& c, Order order) {
  const Shape w{c.out, c.x[1], 3, 3};
  return {activations(c.x, 0), activations(conv2d_shape(c.x, w, c.spec), 3), weight(w, order)};
}

Tensor run(const Case& c, const Problem& p) {
  const InTf32 mode;
  Tensor gw = unwritten(p.w);
  REQUIRE(grad_weight_can(ConvPass::grad_weight, {p.x, gw, p.gy}, c.spec));
  grad_weight({p.x, gw, p.gy}, c.spec, c.blocks);
  return gw;
}

/// Rounded to 10 bits of mantissa, in float64.
Tensor rounded(const Tensor& t) {
  std::vector<double> values;
  for (const float value : contiguous(t, Layout::contiguous).to_vector<float>())
    values.push_back(std::bit_cast<float>((std::bit_cast<uint32_t>(value) + 0x1000u) & ~0x1fffu));
  return Tensor::from(values, t.shape());
}

template <class Body>
void for_every_case(Body&& body) {
  for (const Case& c : cases) {
    CAPTURE(c.x);
    CAPTURE(c.out);
    body(c);
  }
}

}  // namespace

TEST_CASE("the weight's gradient in TF32 agrees with float64 of rounded operands in every geometry") {
  for_every_case([](const Case& c) {
    const Problem p = problem(c, Order::contiguous);
    const Tensor expected = conv2d_grad_weight(rounded(p.gy), rounded(p.x), c.spec, p.w.shape());
    const double pixels = static_cast<double>(p.gy.numel()) / static_cast<double>(c.out);
    // A product is exact; sums of n terms of either sign, and their partial sums, are of size sqrt(n).
    CHECK(relative_error(run(c, p), expected) <= std::sqrt(pixels) * std::ldexp(1, -24));
  });
}

TEST_CASE("the weight's gradient in TF32 goes to any memory order") {
  const Case& c = cases[4];
  const Tensor expected = run(c, problem(c, Order::contiguous));
  for (const Order order : every_order)
    CHECK(contiguous(run(c, problem(c, order)), Layout::contiguous).to_vector<float>() == expected.to_vector<float>());
}

TEST_CASE("the weight's gradient in TF32: the order of warps and blocks changes no bit: there are no races") {
  for_every_case([](const Case& c) {
    const Problem p = problem(c, Order::contiguous);
    const Tensor forward = run(c, p);
    gradus_cuda_on_host_reverse(true);
    const Tensor backward = run(c, p);
    gradus_cuda_on_host_reverse(false);
    CHECK(same(forward, backward));
  });
}

TEST_CASE("the weight's gradient in TF32: no number stays none, in its channels alone") {
  const Case c{{1, 36, 6, 11}, 64, same_size};
  const Problem p = problem(c, Order::contiguous);
  Tensor corner = slice(slice(slice(p.x, 1, 33, 34), 2, 0, 1), 3, 10, 11);
  fill_(corner, NAN);
  const std::vector<float> gw = run(c, p).to_vector<float>();
  for (size_t i = 0; i < gw.size(); ++i)
    if (i / 9 % 36 != 33) CHECK_FALSE(std::isnan(gw[i]));
  CHECK(std::isnan(gw[33 * 9 + 4]));
}

TEST_CASE("the weight's gradient in TF32: what the kernels cannot do is refused") {
  const Tensor x = activations({2, 8, 6, 6}, 0), w = random_normal({4, 8, 3, 3}, 0, 1, {}),
               y = activations({2, 4, 6, 6}, 1);
  const ConvOperands operands{x, w, y};
  const ConvPass pass = ConvPass::grad_weight;
  CHECK_FALSE(grad_weight_can(pass, operands, same_size));  // not in TF32
  const InTf32 mode;
  CHECK(grad_weight_can(pass, operands, same_size));
  CHECK_FALSE(grad_weight_can(ConvPass::forward, operands, same_size));
  CHECK_FALSE(grad_weight_can(ConvPass::grad_input, operands, same_size));
  CHECK_FALSE(grad_weight_can(pass, operands, {.stride = {2, 1}, .padding = {1, 1, 1, 1}}));
  CHECK_FALSE(grad_weight_can(pass, operands, {.stride = {3, 3}, .padding = {1, 1, 1, 1}}));
  CHECK_FALSE(grad_weight_can(pass, operands, {.padding = {2, 2, 2, 2}, .dilation = {2, 2}}));
  CHECK_FALSE(grad_weight_can(pass, operands, {.padding = {1, 1, 1, 1}, .groups = 2}));
  CHECK_FALSE(grad_weight_can(pass, {contiguous(x, Layout::contiguous), w, y}, same_size));
  CHECK_FALSE(grad_weight_can(pass, {x, random_normal({4, 8, 3, 1}, 0, 1, {}), y}, same_size));
  CHECK_FALSE(
      grad_weight_can(pass, {activations({2, 6, 6, 6}, 0), random_normal({4, 6, 3, 3}, 0, 1, {}), y}, same_size));
  CHECK_FALSE(grad_weight_can(pass, {cast(x, DType::bfloat16), w, cast(y, DType::bfloat16)}, same_size));
}

TEST_CASE("the weight's gradient in TF32 is cut with as little outside as can be") {
  const auto cut = [](int64_t in, int64_t out, int64_t height, int64_t width) {
    return grad_weight_cut({out, in, 3, 3}, {128, out, height, width});
  };
  CHECK(cut(96, 96, 32, 32) == GradWeightCut{96, 8, 1, 3, 2048});
  CHECK(cut(192, 192, 8, 8) == GradWeightCut{96, 8, 2, 6, 128});
  CHECK(cut(64, 64, 56, 56) == GradWeightCut{64, 8, 1, 2, 128 * 49});
  CHECK(cut(40, 256, 4, 16) == GradWeightCut{64, 16, 4, 2, 128});
  CHECK(cut(32, 96, 2, 30) == GradWeightCut{96, 32, 1, 1, 128});
}

TEST_CASE("the weight's gradient in TF32: the rule takes layers of many channels, and nothing small") {
  const auto pays = [](int64_t batch, int64_t side, int64_t in, int64_t out) {
    return grad_weight_pays({out, in, 3, 3}, {batch, out, side, side});
  };
  for (const auto& [side, in, out] : {std::array<int64_t, 3>{32, 96, 96},
                                      {16, 96, 96},
                                      {16, 96, 192},
                                      {16, 192, 192},
                                      {8, 192, 192},
                                      {30, 96, 96},
                                      {6, 192, 192},
                                      {56, 64, 64},
                                      {7, 512, 512}})
    CHECK(pays(128, side, in, out));
  CHECK_FALSE(pays(128, 32, 3, 96));
  CHECK_FALSE(pays(128, 32, 192, 16));
  CHECK_FALSE(pays(128, 3, 512, 512));
  CHECK_FALSE(pays(1, 32, 96, 96));
}

TEST_CASE("the weight's gradient in TF32: operations take the kernels by the rule, after one check") {
  const InTf32 mode;
  std::vector<std::string> warnings;
  set_warning_handler([&](const std::string& line) { warnings.push_back(line); });
  const Tensor x = activations({46, 32, 16, 16}, 0), gy = activations({46, 96, 16, 16}, 1);
  const Shape w{96, 32, 3, 3};
  REQUIRE(grad_weight_pays(w, gy.shape()));
  const Tensor first = conv2d_grad_weight(gy, x, same_size, w);
  const int64_t before = gradus_cuda_on_host_launches();
  const Tensor gw = conv2d_grad_weight(gy, x, same_size, w);
  CHECK(gradus_cuda_on_host_launches() - before == 2);  // the parts, their sums
  CHECK(same(first, gw));
  Tensor direct = unwritten(gw);
  grad_weight({x, direct, gy}, same_size);
  CHECK(same(gw, direct));
  CHECK(warnings.empty());
  set_warning_handler(nullptr);
}
