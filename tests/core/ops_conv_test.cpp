#include "core/accelerator.h"
#include "core/error.h"
#include "core/ops.h"
#include "tests/core/cpu_compare.h"
#include "tests/data/temporary_folder.h"

using namespace gradus;
using namespace gradus::testing;

namespace {

using Values = std::vector<double>;

struct SmallConv {
  const char* name;
  Shape x, w;
  Conv2dSpec spec;
};

const SmallConv small_convs[] = {
    {"same", {2, 4, 5, 6}, {3, 4, 3, 3}, {.padding = {1, 1, 1, 1}}},
    {"strided", {2, 3, 7, 8}, {4, 3, 3, 2}, {.stride = {2, 3}}},
    {"asymmetric", {1, 2, 5, 4}, {3, 2, 3, 3}, {.padding = {0, 2, 1, 0}}},
    {"dilated", {2, 2, 9, 8}, {3, 2, 3, 2}, {.padding = {2, 1, 2, 1}, .dilation = {2, 3}}},
    {"grouped", {2, 6, 4, 4}, {4, 3, 3, 3}, {.padding = {1, 1, 1, 1}, .groups = 2}},
    {"depthwise", {2, 3, 5, 5}, {6, 1, 3, 3}, {.stride = {2, 2}, .padding = {1, 1, 1, 1}, .groups = 3}},
    {"pointwise", {2, 5, 3, 3}, {4, 5, 1, 1}, {}},
    {"a row left over", {1, 1, 6, 6}, {1, 1, 3, 3}, {.stride = {2, 2}}},
};

/// The textbook sum, read off the definition: y[n,o,p,q] = sum over i,k,l of w[o,i,k,l] x[n,i,p s + k d - pad, ...].
Tensor naive_conv(const Tensor& x, const Tensor& w, const Conv2dSpec& spec, const Shape& shape) {
  const Values image = elements(x), weight = elements(w);
  const int64_t group_in = w.size(1), group_out = w.size(0) / spec.groups;
  Values y;
  for (int64_t n = 0; n < shape[0]; ++n)
    for (int64_t o = 0; o < shape[1]; ++o)
      for (int64_t p = 0; p < shape[2]; ++p)
        for (int64_t q = 0; q < shape[3]; ++q) {
          double total = 0;
          for (int64_t i = 0; i < group_in; ++i)
            for (int64_t k = 0; k < w.size(2); ++k)
              for (int64_t l = 0; l < w.size(3); ++l) {
                const int64_t h = p * spec.stride[0] + k * spec.dilation[0] - spec.padding[0];
                const int64_t v = q * spec.stride[1] + l * spec.dilation[1] - spec.padding[1];
                if (h < 0 || h >= x.size(2) || v < 0 || v >= x.size(3)) continue;
                const int64_t channel = o / group_out * group_in + i;
                total += weight[((o * group_in + i) * w.size(2) + k) * w.size(3) + l] *
                         image[((n * x.size(1) + channel) * x.size(2) + h) * x.size(3) + v];
              }
          y.push_back(total);
        }
  return Tensor::from(y, shape);
}

bool only_channels_last(const Tensor& x) { return x.is_channels_last() && !x.is_contiguous(); }

}  // namespace

TEST_CASE("conv2d is the textbook sum for every geometry, memory order and dtype") {
  for (const SmallConv& c : small_convs)
    for (const DType dtype : {DType::float32, DType::float64})
      for (const Memory memory : every_memory) {
        CAPTURE(c.name);
        const Tensor x = in(memory, cast(random(c.x, 1), dtype)), w = in(memory, cast(random(c.w, 2), dtype));
        const Tensor y = conv2d(x, w, {}, c.spec);
        CHECK(y.shape() == conv2d_shape(c.x, c.w, c.spec));
        CHECK(y.is_channels_last());
        const double terms = static_cast<double>(c.w[1] * c.w[2] * c.w[3]);
        const double unit = dtype == DType::float32 ? 0x1p-24 : 0x1p-53;
        check_within(y, naive_conv(x, w, c.spec, y.shape()), [&](size_t) { return (terms + 2) * terms * unit; });
      }
}

TEST_CASE("the output shape counts whole windows only") {
  CHECK(conv2d_shape({1, 1, 6, 6}, {1, 1, 3, 3}, {.stride = {2, 2}}) == Shape{1, 1, 2, 2});
  CHECK(conv2d_shape({4, 3, 32, 32}, {96, 3, 3, 3}, {.padding = {1, 1, 1, 1}}) == Shape{4, 96, 32, 32});
  CHECK(conv2d_shape({1, 1, 5, 5}, {1, 1, 3, 3}, {.dilation = {2, 2}}) == Shape{1, 1, 1, 1});
  CHECK(conv2d_shape({1, 1, 2, 2}, {1, 1, 3, 3}, {.padding = {0, 1, 1, 0}}) == Shape{1, 1, 1, 1});
}

TEST_CASE("bias is added per channel, and relu applied after it") {
  for (const DType dtype : {DType::float32, DType::float64}) {
    const Tensor x = cast(random({2, 3, 4, 4}, 3), dtype), w = cast(random({5, 3, 3, 3}, 4), dtype);
    const Tensor bias = cast(random({5}, 5), dtype);
    const Tensor plain = conv2d(x, w, {}, {}), expected = plain + reshape(bias, {5, 1, 1});
    check_within(conv2d(x, w, bias, {}), expected, [](size_t) { return 1e-5; });
    check_within(conv2d(x, w, bias, {}, true), relu(expected), [](size_t) { return 1e-5; });
    CHECK(min(conv2d(x, w, bias, {}, true)).item() == 0);
  }
}

// The three convolutions are the three ways to contract one trilinear form, which ties the two gradients to the forward
// pass that the textbook sum confirms: <gy, conv(x, w)> = <grad_input(gy, w), x> = <grad_weight(gy, x), w>.
TEST_CASE("conv2d sees a weight that was changed in place") {  // a device may keep a copy of it in another form
  const Tensor x = random({2, 3, 5, 5}, 1);
  Tensor w = random({4, 3, 3, 3}, 2);
  const Values before = elements(conv2d(x, w, {}, {}));
  scale_(w, 2);
  const Tensor y = conv2d(x, w, {}, {});
  check_within(y, conv2d(x, clone(w), {}, {}), [](size_t) { return 0.0; });
  CHECK(elements(y)[0] == doctest::Approx(2 * before[0]));
  const Tensor gy = Tensor::ones(y.shape());
  scale_(w, 0.5);
  check_within(conv2d_grad_input(gy, w, {}, x.shape()), conv2d_grad_input(gy, clone(w), {}, x.shape()),
               [](size_t) { return 0.0; });
}

TEST_CASE("the gradients of conv2d are its adjoints") {
  for (const SmallConv& c : small_convs)
    for (const DType dtype : {DType::float32, DType::float64})
      for (const Memory memory : every_memory) {
        CAPTURE(c.name);
        const Tensor x = in(memory, cast(random(c.x, 1), dtype)), w = in(memory, cast(random(c.w, 2), dtype));
        const Tensor y = conv2d(x, w, {}, c.spec), gy = in(memory, cast(random(y.shape(), 3), dtype));
        const Tensor gx = conv2d_grad_input(gy, w, c.spec, c.x), gw = conv2d_grad_weight(gy, x, c.spec, c.w);
        CHECK(gx.is_channels_last());
        CHECK(gw.shape() == c.w);
        const auto wide = [](const Tensor& t) { return cast(t, DType::float64); };
        // Every product is at most 1, and each of them is rounded a few times on its way.
        const double products = static_cast<double>(y.numel() * c.w[1] * c.w[2] * c.w[3]);
        const double bound = products * (dtype == DType::float32 ? 0x1p-20 : 0x1p-49);
        CHECK(std::abs(dot(wide(gy), wide(y)) - dot(wide(gx), wide(x))) <= bound);
        CHECK(std::abs(dot(wide(gy), wide(y)) - dot(wide(gw), wide(w))) <= bound);
      }
}

TEST_CASE("a single output gradient reads off the kernel and the patch") {
  const Tensor w = reshape(Tensor::arange(4, DType::float32), {1, 1, 2, 2});
  const Tensor x = reshape(Tensor::arange(9, DType::float32), {1, 1, 3, 3});
  Tensor gy = Tensor::zeros({1, 1, 2, 2});
  Tensor one = slice(slice(gy, 2, 1, 2), 3, 0, 1);
  fill_(one, 1);
  CHECK(elements(conv2d_grad_input(gy, w, {}, {1, 1, 3, 3})) == Values{0, 0, 0, 0, 1, 0, 2, 3, 0});
  CHECK(elements(conv2d_grad_weight(gy, x, {}, {1, 1, 2, 2})) == Values{3, 4, 6, 7});
}

TEST_CASE("pixels that no window reaches get a zero gradient") {
  const Conv2dSpec spec = {.stride = {2, 2}};
  const Tensor gx = conv2d_grad_input(Tensor::ones({1, 1, 1, 1}), Tensor::ones({1, 1, 2, 2}), spec, {1, 1, 3, 3});
  CHECK(elements(gx) == Values{1, 1, 0, 1, 1, 0, 0, 0, 0});
}

TEST_CASE("conv_transpose2d spreads each pixel by the kernel, for every geometry, memory order and dtype") {
  const struct {
    const char* name;
    Shape x, w, y;
    ConvTranspose2dSpec spec;
  } transposed[] = {
      {"plain", {2, 3, 4, 5}, {3, 4, 3, 2}, {2, 4, 6, 6}, {}},
      {"doubling", {2, 4, 3, 4}, {4, 2, 4, 4}, {2, 2, 6, 8}, {.stride = {2, 2}, .padding = {1, 1, 1, 1}}},
      {"output padding",
       {1, 2, 3, 3},
       {2, 3, 3, 3},
       {1, 3, 6, 9},
       {.stride = {2, 3}, .padding = {1, 0, 1, 1}, .output_padding = {1, 1}}},
      {"wide stride", {1, 2, 3, 2}, {2, 2, 1, 2}, {1, 2, 9, 6}, {.stride = {3, 3}, .output_padding = {2, 1}}},
      {"dilated", {1, 2, 4, 3}, {2, 3, 3, 2}, {1, 3, 6, 5}, {.padding = {2, 1, 0, 0}, .dilation = {2, 3}}},
      {"grouped", {2, 6, 3, 3}, {6, 2, 2, 2}, {2, 4, 4, 4}, {.groups = 2}},
      {"depthwise", {2, 3, 3, 3}, {3, 2, 3, 3}, {2, 6, 7, 7}, {.stride = {2, 2}, .groups = 3}},
  };
  for (const auto& c : transposed)
    for (const DType dtype : {DType::float32, DType::float64})
      for (const Memory memory : every_memory) {
        CAPTURE(c.name);
        const Tensor x = in(memory, cast(random(c.x, 1), dtype)), w = in(memory, cast(random(c.w, 2), dtype));
        const Tensor bias = cast(random({c.y[1]}, 3), dtype), y = conv_transpose2d(x, w, bias, c.spec);
        REQUIRE(y.shape() == c.y);
        CHECK(y.is_channels_last());
        const Values pixels = elements(x), weight = elements(w), added = elements(bias);
        Values expected;
        for (int64_t i = 0; i < numel(c.y); ++i) expected.push_back(added[i / (c.y[2] * c.y[3]) % c.y[1]]);
        const int64_t group_in = c.x[1] / c.spec.groups, group_out = c.w[1];
        for (int64_t n = 0; n < c.x[0]; ++n)
          for (int64_t i = 0; i < c.x[1]; ++i)
            for (int64_t p = 0; p < c.x[2]; ++p)
              for (int64_t q = 0; q < c.x[3]; ++q)
                for (int64_t o = 0; o < group_out; ++o)
                  for (int64_t k = 0; k < c.w[2]; ++k)
                    for (int64_t l = 0; l < c.w[3]; ++l) {
                      const int64_t h = p * c.spec.stride[0] + k * c.spec.dilation[0] - c.spec.padding[0];
                      const int64_t v = q * c.spec.stride[1] + l * c.spec.dilation[1] - c.spec.padding[1];
                      if (h < 0 || h >= c.y[2] || v < 0 || v >= c.y[3]) continue;
                      const int64_t channel = i / group_in * group_out + o;
                      expected[((n * c.y[1] + channel) * c.y[2] + h) * c.y[3] + v] +=
                          weight[((i * group_out + o) * c.w[2] + k) * c.w[3] + l] *
                          pixels[((n * c.x[1] + i) * c.x[2] + p) * c.x[3] + q];
                    }
        const double terms = static_cast<double>(group_in * c.w[2] * c.w[3] + 1);
        const double unit = dtype == DType::float32 ? 0x1p-24 : 0x1p-53;
        check_within(y, Tensor::from(expected, c.y), [&](size_t) { return (terms + 2) * terms * unit; });
      }
}

TEST_CASE("a transposed convolution of nothing is nothing, or the bias where there are no input channels") {
  CHECK(conv_transpose2d(Tensor::zeros({0, 2, 3, 3}), random({2, 3, 2, 2}, 1), {}, {}).shape() == Shape{0, 3, 4, 4});
  CHECK(conv_transpose2d(Tensor::zeros({1, 2, 3, 3}), Tensor::zeros({2, 0, 2, 2}), {}, {}).shape() ==
        Shape{1, 0, 4, 4});
  const Tensor bias = Tensor::from<float>({2}, {1});
  CHECK(elements(conv_transpose2d(Tensor::zeros({1, 0, 1, 1}), Tensor::zeros({0, 1, 1, 2}), bias, {})) == Values{2, 2});
}

TEST_CASE("empty batches convolve to empty batches with zero gradients") {
  const Tensor x = Tensor::zeros({0, 2, 4, 4}), w = random({3, 2, 3, 3}, 1);
  const Tensor y = conv2d(x, w, {}, {});
  CHECK(y.shape() == Shape{0, 3, 2, 2});
  CHECK(conv2d_grad_input(y, w, {}, x.shape()).shape() == x.shape());
  CHECK(elements(conv2d_grad_weight(y, x, {}, w.shape())) == Values(54, 0.0));
  CHECK(max_pool2d(x, {}).values.shape() == Shape{0, 2, 2, 2});
  CHECK(avg_pool2d(x, {}).shape() == Shape{0, 2, 2, 2});
}

TEST_CASE("convolution names what does not fit") {
  const Tensor x = Tensor::zeros({64, 3, 32, 32}), w = Tensor::zeros({32, 16, 3, 3});
  CHECK_THROWS_WITH_AS(
      conv2d(x, w, {}, {}),
      "[conv2d] weight [32,16,3,3] expects 16 input channels, but input [64,3,32,32] has 3. Was the layer "
      "built as Conv2d(3, ...)?",
      Error);
  CHECK_THROWS_WITH_AS(
      conv2d_shape({1, 3, 8, 8}, {4, 2, 3, 3}, {.groups = 2}),
      "[conv2d] weight [4,2,3,3] expects 4 input channels in 2 groups, but input [1,3,8,8] has 3. Was the "
      "layer built as Conv2d(3, ...)?",
      Error);
  CHECK_THROWS_WITH_AS(conv2d_shape({3, 8, 8}, {4, 3, 3, 3}, {}),
                       "[conv2d] input needs 4 dimensions [N,C,H,W], got [3,8,8]", Error);
  CHECK_THROWS_WITH_AS(conv2d_shape({1, 3, 8, 8}, {4, 3, 3}, {}),
                       "[conv2d] weight needs 4 dimensions [O,I/groups,kh,kw], got [4,3,3]", Error);
  const Shape image = {1, 3, 8, 8}, kernel = {4, 3, 3, 3};
  CHECK_THROWS_WITH_AS(conv2d_shape(image, kernel, {.stride = {0, 1}}), "[conv2d] stride must be at least 1, got 0",
                       Error);
  CHECK_THROWS_WITH_AS(conv2d_shape(image, kernel, {.dilation = {1, 0}}), "[conv2d] dilation must be at least 1, got 0",
                       Error);
  CHECK_THROWS_WITH_AS(conv2d_shape(image, kernel, {.padding = {0, 0, -1, 0}}),
                       "[conv2d] padding must not be negative, got -1", Error);
  CHECK_THROWS_WITH_AS(conv2d_shape(image, kernel, {.groups = 0}), "[conv2d] groups must be at least 1, got 0", Error);
  CHECK_THROWS_WITH_AS(conv2d_shape({1, 9, 8, 8}, kernel, {.groups = 3}),
                       "[conv2d] the 4 output channels of weight [4,3,3,3] do not split into 3 groups", Error);
  CHECK_THROWS_WITH_AS(conv2d_shape(image, {4, 3, 0, 3}, {}), "[conv2d] the kernel of weight [4,3,0,3] is empty",
                       Error);
  CHECK_THROWS_WITH_AS(
      conv2d_shape({1, 3, 8, 2}, kernel, {}),
      "[conv2d] a window of 3 does not fit into the padded width 2 of input [1,3,8,2]; enlarge the input or "
      "the padding",
      Error);
  const Tensor image_tensor = Tensor::zeros(image), weight = Tensor::zeros(kernel);
  CHECK_THROWS_WITH_AS(conv2d(image_tensor, weight, Tensor::zeros({3}), {}),
                       "[conv2d] the bias needs shape [4], got [3]", Error);
  CHECK_THROWS_AS(conv2d(image_tensor, weight, Tensor::zeros({4}, DType::float64), {}), Error);
  CHECK_THROWS_AS(conv2d(image_tensor, cast(weight, DType::float64), {}, {}), Error);
  CHECK_THROWS_WITH_AS(conv2d_grad_input(Tensor::zeros({1, 4, 5, 6}), weight, {}, image),
                       "[conv2d_grad_input] the gradient needs shape [1,4,6,6], got [1,4,5,6]", Error);
  CHECK_THROWS_WITH_AS(conv2d_grad_weight(Tensor::zeros({1, 4, 5, 6}), image_tensor, {}, kernel),
                       "[conv2d_grad_weight] the gradient needs shape [1,4,6,6], got [1,4,5,6]", Error);
}

TEST_CASE("transposed convolution names what does not fit") {
  const auto said = [](const Shape& x, const Shape& w, const ConvTranspose2dSpec& spec = {}, const Tensor& bias = {}) {
    return error_of([&] { conv_transpose2d(Tensor::zeros(x), Tensor::zeros(w), bias, spec); });
  };
  const Shape image = {1, 4, 3, 5}, kernel = {4, 2, 3, 3};
  CHECK(said({3, 8, 8}, kernel) == "[conv_transpose2d] input needs 4 dimensions [N,C,H,W], got [3,8,8]");
  CHECK(said(image, {4, 2, 3}) == "[conv_transpose2d] weight needs 4 dimensions [I,O/groups,kh,kw], got [4,2,3]");
  CHECK(said({1, 3, 3, 5}, kernel) ==
        "[conv_transpose2d] weight [4,2,3,3] expects 4 input channels, but input [1,3,3,5] has 3. Was the layer built "
        "as ConvTranspose2d(3, ...)?");
  CHECK(said(image, kernel, {.groups = 3}) ==
        "[conv_transpose2d] the 4 input channels of weight [4,2,3,3] do not split into 3 groups");
  CHECK(said(image, kernel, {.groups = 0}) == "[conv_transpose2d] groups must be at least 1, got 0");
  CHECK(said(image, kernel, {.stride = {0, 1}}) == "[conv_transpose2d] stride must be at least 1, got 0");
  CHECK(said(image, kernel, {.padding = {0, 0, -1, 0}}) == "[conv_transpose2d] padding must not be negative, got -1");
  CHECK(said(image, kernel, {.dilation = {1, 0}}) == "[conv_transpose2d] dilation must be at least 1, got 0");
  CHECK(said(image, {4, 2, 0, 3}) == "[conv_transpose2d] the kernel of weight [4,2,0,3] is empty");
  CHECK(said(image, kernel, {.stride = {1, 2}, .output_padding = {0, 2}}) ==
        "[conv_transpose2d] output_padding must lie in [0, 2), below the stride, got 2");
  CHECK(said(image, kernel, {.output_padding = {-1, 0}}) ==
        "[conv_transpose2d] output_padding must lie in [0, 1), below the stride, got -1");
  CHECK(said(image, kernel, {.padding = {2, 0, 3, 0}}) ==
        "[conv_transpose2d] a padding of 2 and 3 leaves nothing of the result's height 5 for input [1,4,3,5]");
  CHECK(said({1, 4, 3, 0}, kernel) == "[conv_transpose2d] the input [1,4,3,0] has no width");
  CHECK(said(image, kernel, {}, Tensor::zeros({4})) == "[conv_transpose2d] the bias needs shape [2], got [4]");
  CHECK(
      contains(error_of([&] { conv_transpose2d(Tensor::zeros(image), Tensor::zeros(kernel, DType::float64), {}, {}); }),
               "[conv_transpose2d] "));
  const Tensor tall = expand(Tensor::zeros({1, 1, 1, 1}), {1, 1, int64_t{1} << 31, 1});
  CHECK(error_of([&] {
          conv_transpose2d(tall, Tensor::zeros({1, 1, 1, 1}), {}, {});
        }) == "[conv_transpose2d] an extent of the input must be at most 2147483647, got 2147483648");
}

TEST_CASE("max pooling gives the maximum and the position of the first one") {
  const Tensor x = Tensor::from<float>({1, 3, 2, 0, 3, 3, 1, 9, 4, 4, 8, 8, 4, 4, 8, 8}, {1, 1, 4, 4});
  for (const DType dtype : {DType::float32, DType::float64}) {
    const MaxPooled y = max_pool2d(cast(x, dtype), {});
    CHECK(elements(y.values) == Values{3, 9, 4, 8});
    CHECK(y.index.to_vector<int64_t>() == std::vector<int64_t>{1, 7, 8, 10});
  }
}

TEST_CASE("pooling agrees with plain loops for every geometry and memory order") {
  const Pool2dSpec specs[] = {
      {},
      {.kernel = {3, 3}, .stride = {2, 2}, .padding = {1, 1, 1, 1}},
      {.kernel = {3, 2}, .stride = {1, 3}, .padding = {0, 1, 2, 0}},
      {.kernel = {3, 3}, .stride = {2, 2}, .padding = {1, 1, 1, 1}, .count_padding = false},
      {.kernel = {5, 7}, .stride = {1, 1}},
  };
  const Tensor source = random({2, 3, 5, 7}, 1);
  const Values from = elements(source);
  for (const Pool2dSpec& spec : specs)
    for (const DType dtype : {DType::float32, DType::float64})
      for (const Memory memory : every_memory) {
        const Tensor x = in(memory, cast(source, dtype));
        const MaxPooled top = max_pool2d(x, spec);
        const Tensor average = avg_pool2d(x, spec);
        CHECK(top.values.is_channels_last());
        CHECK(average.is_channels_last());
        REQUIRE(average.shape() == top.values.shape());
        Values maxima, averages, positions;
        for (int64_t plane = 0; plane < 6; ++plane)
          for (int64_t p = 0; p < average.size(2); ++p)
            for (int64_t q = 0; q < average.size(3); ++q) {
              double best = -9, total = 0, inside = 0;
              int64_t position = -1;
              for (int64_t h = p * spec.stride[0] - spec.padding[0];
                   h < p * spec.stride[0] - spec.padding[0] + spec.kernel[0]; ++h)
                for (int64_t w = q * spec.stride[1] - spec.padding[1];
                     w < q * spec.stride[1] - spec.padding[1] + spec.kernel[1]; ++w) {
                  if (h < 0 || h >= 5 || w < 0 || w >= 7) continue;
                  const double value = from[(plane * 5 + h) * 7 + w];
                  if (value > best) best = value, position = h * 7 + w;
                  total += value, inside += 1;
                }
              maxima.push_back(best);
              positions.push_back(static_cast<double>(position));
              averages.push_back(total /
                                 (spec.count_padding ? static_cast<double>(spec.kernel[0] * spec.kernel[1]) : inside));
            }
        CHECK(elements(top.values) == maxima);
        CHECK(elements(top.index) == positions);
        check_within(average, Tensor::from(averages, average.shape()),
                     [&](size_t) { return dtype == DType::float32 ? 40 * 0x1p-24 : 40 * 0x1p-53; });
        // The gradients are adjoints; scattering and gathering invert each other on what is pooled.
        const Tensor g = in(memory, cast(random(average.shape(), 2), dtype));
        const auto wide = [](const Tensor& t) { return cast(t, DType::float64); };
        const double bound = static_cast<double>(average.numel()) * (dtype == DType::float32 ? 0x1p-20 : 0x1p-49);
        const Tensor scattered = max_pool2d_scatter(g, top.index, x.shape());
        const Tensor spread = avg_pool2d_backward(g, spec, x.shape());
        CHECK(scattered.shape() == x.shape());
        CHECK(std::abs(dot(wide(g), wide(top.values)) - dot(wide(scattered), wide(x))) <= bound);
        CHECK(std::abs(dot(wide(g), wide(average)) - dot(wide(spread), wide(x))) <= bound);
        check_equal(max_pool2d_gather(x, top.index), top.values);
      }
}

TEST_CASE("a window of negative numbers and padding keeps its negative maximum") {
  const Pool2dSpec spec = {.kernel = {3, 3}, .stride = {2, 2}, .padding = {1, 1, 1, 1}};
  for (const DType dtype : {DType::float32, DType::float64}) {
    const MaxPooled y = max_pool2d(Tensor::full({1, 1, 2, 2}, -5, dtype), spec);
    CHECK(elements(y.values) == Values{-5});
    CHECK(y.index.item() == 0);
  }
}

TEST_CASE("gradients of overlapping windows add up") {
  const Pool2dSpec spec = {.kernel = {1, 2}, .stride = {1, 1}};
  const Tensor x = Tensor::from<float>({1, 5, 2}, {1, 1, 1, 3});
  const MaxPooled y = max_pool2d(x, spec);
  CHECK(elements(max_pool2d_scatter(Tensor::from<float>({10, 1}, {1, 1, 1, 2}), y.index, x.shape())) ==
        Values{0, 11, 0});
  CHECK(elements(avg_pool2d_backward(Tensor::from<float>({10, 1}, {1, 1, 1, 2}), spec, x.shape())) ==
        Values{5, 5.5, 0.5});
}

TEST_CASE("all gradients of a convolution at once are those of one call each") {
  const Conv2dSpec spec{.padding = {1, 1, 1, 1}};
  const Tensor x = random_normal({2, 5, 6, 7}, 0, 1, {1, 0, 0}), w = random_normal({8, 5, 3, 3}, 0, 1, {1, 1, 0});
  const Tensor bias = random_normal({8}, 0, 1, {1, 2, 0}), gy = random_normal({2, 8, 6, 7}, 0, 1, {1, 3, 0});
  const Tensor y = conv2d(x, w, bias, spec, true);
  const BiasReluGradients before = bias_relu_backward(gy, y);
  const ConvGradients with = conv2d_gradients(gy, y, x, w, spec), without = conv2d_gradients(gy, {}, x, w, spec);
  CHECK(elements(with.bias) == elements(before.gbias));
  CHECK(elements(with.input) == elements(conv2d_grad_input(before.gz, w, spec, x.shape())));
  CHECK(elements(with.weight) == elements(conv2d_grad_weight(before.gz, x, spec, w.shape())));
  CHECK(!without.bias.defined());
  CHECK(elements(without.input) == elements(conv2d_grad_input(gy, w, spec, x.shape())));
  CHECK(elements(without.weight) == elements(conv2d_grad_weight(gy, x, spec, w.shape())));

  const ConvGradients first = conv2d_parameter_gradients(gy, y, x, spec, w.shape());  // of a first layer
  CHECK(!first.input.defined());
  CHECK(elements(first.bias) == elements(with.bias));
  CHECK(elements(first.weight) == elements(with.weight));
  CHECK(elements(conv2d_parameter_gradients(gy, {}, x, spec, w.shape()).weight) == elements(without.weight));

  const Tensor none = Tensor::zeros({0, 5, 6, 7}), nothing = Tensor::zeros({0, 8, 6, 7});
  CHECK(sum(conv2d_gradients(nothing, nothing, none, w, spec).weight).item() == 0);
  CHECK(sum(conv2d_parameter_gradients(nothing, nothing, none, spec, w.shape()).bias).item() == 0);
  CHECK_THROWS_AS(conv2d_gradients(gy, bias, x, w, spec), Error);
  CHECK_THROWS_AS(conv2d_parameter_gradients(gy, bias, x, spec, w.shape()), Error);
  CHECK_THROWS_AS(conv2d_gradients(gy, y, cast(x, DType::float64), w, spec), Error);
}

TEST_CASE("a first layer's gradients at once are those of its parts, in every precision") {
  const Conv2dSpec spec{.padding = {1, 1, 1, 1}};
  struct Precision {
    DType dtype;
    bool tf32;
    double tolerance;  // sums of 8192 products, of operands of 24, 11 and 8 bits; of the same ones in both ways
  };
  const AcceleratorSettings before = accelerator();
  for (const Precision& p :
       {Precision{DType::float32, false, 1e-5}, {DType::float32, true, 2e-3}, {DType::bfloat16, false, 1e-2}}) {
    CAPTURE(p.dtype);
    CAPTURE(p.tf32);
    AcceleratorSettings settings = before;
    settings.tf32 = p.tf32;
    set_accelerator(settings);
    const auto activations = [&](const Shape& shape, uint64_t stream) {
      return contiguous(cast(random(shape, stream), p.dtype), Layout::channels_last);
    };
    const Tensor x = activations({32, 3, 16, 16}, 1), gy = activations({32, 96, 16, 16}, 2);
    const Tensor w = random({96, 3, 3, 3}, 3);
    const Tensor y = conv2d(x, w, random({96}, 4), spec, true);
    const ConvGradients all = conv2d_parameter_gradients(gy, y, x, spec, w.shape());
    const BiasReluGradients parts = bias_relu_backward(gy, y);
    const auto wide = [](const Tensor& t) { return cast(t, DType::float64); };
    const Tensor weight = conv2d_grad_weight(wide(parts.gz), wide(x), spec, w.shape());
    const Tensor bias = sum(wide(parts.gz), {0, 2, 3});
    CHECK(norm(wide(all.weight) - weight) <= p.tolerance * norm(weight));
    CHECK(norm(wide(all.bias) - bias) <= 1e-5 * norm(bias));
    CHECK(norm(wide(parts.gbias) - bias) <= 1e-5 * norm(bias));
  }
  set_accelerator(before);
}

TEST_CASE(
    "the gradients before a bias and a relu are masked by the result, summed per channel, and name what does not fit") {
  const Tensor gy = Tensor::from<float>({1, 2, 4, 8}, {1, 2, 1, 2}),
               y = Tensor::from<float>({5, 0, 3, 2}, {1, 2, 1, 2});
  const BiasReluGradients g = bias_relu_backward(gy, y);
  CHECK(elements(g.gz) == Values{1, 0, 4, 8});
  CHECK(elements(g.gbias) == Values{1, 12});
  CHECK_THROWS_WITH_AS(bias_relu_backward(gy, Tensor::zeros({2, 2})),
                       "[bias_relu_backward] y needs 4 dimensions [N,C,H,W], got [2,2]", Error);
  CHECK_THROWS_AS(bias_relu_backward(gy, Tensor::zeros({1, 2, 2, 1})), Error);
  CHECK_THROWS_AS(bias_relu_backward(gy, Tensor::zeros({1, 2, 1, 2}, DType::float64)), Error);
}

TEST_CASE("pooling names what does not fit") {
  const Tensor x = Tensor::zeros({1, 2, 4, 4});
  CHECK_THROWS_WITH_AS(max_pool2d(Tensor::zeros({4, 4}), {}),
                       "[max_pool2d] input needs 4 dimensions [N,C,H,W], got [4,4]", Error);
  CHECK_THROWS_WITH_AS(max_pool2d(x, {.kernel = {0, 2}}), "[max_pool2d] kernel must be at least 1, got 0", Error);
  CHECK_THROWS_WITH_AS(avg_pool2d(x, {.stride = {0, 2}}), "[avg_pool2d] stride must be at least 1, got 0", Error);
  CHECK_THROWS_WITH_AS(avg_pool2d(x, {.padding = {2, 0, 0, 0}}),
                       "[avg_pool2d] padding must lie in [0, 2), so that every window meets the input, got 2 and 0",
                       Error);
  CHECK_THROWS_WITH_AS(max_pool2d(x, {.kernel = {5, 2}}),
                       "[max_pool2d] a window of 5 does not fit into the padded height 4 of input [1,2,4,4]", Error);
  CHECK_THROWS_AS(max_pool2d(Tensor::zeros({1, 2, 4, 4}, DType::int64), {}), Error);
  const MaxPooled y = max_pool2d(x, {});
  CHECK_THROWS_WITH_AS(max_pool2d_scatter(y.values, cast(y.index, DType::int32), x.shape()),
                       "[max_pool2d_scatter] the index needs int64 as max_pool2d gives it, got int32", Error);
  CHECK_THROWS_WITH_AS(max_pool2d_scatter(y.values, y.index, {2, 2, 4, 4}),
                       "[max_pool2d_scatter] gradient [1,2,2,2] and input [2,2,4,4] need the same N and C in [N,C,H,W]",
                       Error);
  CHECK_THROWS_AS(max_pool2d_scatter(x, y.index, x.shape()), Error);
  CHECK_THROWS_WITH_AS(max_pool2d_gather(Tensor::zeros({2, 2, 4, 4}), y.index),
                       "[max_pool2d_gather] input [2,2,4,4] and index [1,2,2,2] need the same N and C in [N,C,H,W]",
                       Error);
  CHECK_THROWS_WITH_AS(avg_pool2d_backward(x, {}, x.shape()),
                       "[avg_pool2d_backward] the gradient needs shape [1,2,2,2], got [1,2,4,4]", Error);
}

TEST_CASE("one number of a geometry stands for all sides, and two for height and width") {
  const Tensor x = random({1, 2, 7, 9}, 1), w = random({3, 2, 3, 3}, 2);
  check_equal(conv2d(x, w, {}, {.stride = 2, .padding = 1}),
              conv2d(x, w, {}, {.stride = {2, 2}, .padding = {1, 1, 1, 1}}));
  check_equal(conv2d(x, w, {}, {.padding = {2, 1}, .dilation = {2}}),
              conv2d(x, w, {}, {.padding = {2, 1, 2, 1}, .dilation = {2, 2}}));
  check_equal(conv_transpose2d(x, random({2, 3, 3, 3}, 3), {}, {.padding = {0, 1}}),
              conv_transpose2d(x, random({2, 3, 3, 3}, 3), {}, {.padding = {0, 1, 0, 1}}));
  check_equal(avg_pool2d(x, {.kernel = 3, .stride = {1, 2}, .padding = {1, 0}}),
              avg_pool2d(x, {.kernel = {3, 3}, .stride = {1, 2}, .padding = {1, 0, 1, 0}}));
  CHECK(conv2d(x, w, {}, {.padding = {0, 1}}).shape() == Shape{1, 3, 5, 9});
}

TEST_CASE("a geometry that overflows is refused by the number that is too large") {
  constexpr int64_t huge = int64_t{1} << 62;
  const Tensor x = Tensor::zeros({1, 2, 4, 4}), w = Tensor::zeros({3, 2, 3, 3});
  CHECK_THROWS_WITH_AS(conv2d(x, w, {}, {.padding = {huge, 0}}),
                       "[conv2d] padding must be at most 2147483647, got 4611686018427387904", Error);
  CHECK_THROWS_WITH_AS(conv2d(x, w, {}, {.dilation = {1, huge}}),
                       "[conv2d] dilation must be at most 2147483647, got 4611686018427387904", Error);
  CHECK_THROWS_WITH_AS(conv2d(x, w, {}, {.stride = {huge, 1}}),
                       "[conv2d] stride must be at most 2147483647, got 4611686018427387904", Error);
  CHECK_THROWS_WITH_AS(conv2d(x, Tensor::zeros({0, 2, 3, 3}), {}, {.groups = huge}),
                       "[conv2d] groups must be at most 2147483647, got 4611686018427387904", Error);
  CHECK_THROWS_AS(conv2d_shape({1, 2, huge, huge}, w.shape(), {}), Error);
  CHECK_THROWS_AS(conv2d_shape(x.shape(), {3, 2, huge, 3}, {.dilation = {2, 1}}), Error);
  CHECK_THROWS_WITH_AS(max_pool2d(x, {.kernel = {huge, 2}, .padding = {huge - 1, 0, huge - 1, 0}}),
                       "[max_pool2d] kernel must be at most 2147483647, got 4611686018427387904", Error);
  CHECK_THROWS_WITH_AS(avg_pool2d(x, {.stride = {2, huge}}),
                       "[avg_pool2d] stride must be at most 2147483647, got 4611686018427387904", Error);
}

TEST_CASE("pooled and convolved activations are channels-last even from row-major inputs") {
  const Tensor x = random({2, 3, 4, 4}, 1);
  CHECK(only_channels_last(conv2d(x, random({5, 3, 3, 3}, 2), {}, {})));
  CHECK(only_channels_last(max_pool2d(x, {}).values));
  CHECK(only_channels_last(avg_pool2d(x, {})));
}
