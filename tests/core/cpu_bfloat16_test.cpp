// The device's kernels of bfloat16 against the reference, which computes in float64 and rounds once. Both round the
// same sum to one of its two neighbors, so results differ by one step at most where float32 sums are exact enough to
// tell.
#include <cmath>
#include <vector>

#include "core/error.h"
#include "core/ops.h"
#include "core/parallel.h"
#include "tests/core/cpu_compare.h"

using namespace gradus;
using namespace gradus::testing;

namespace {

constexpr DType narrow = DType::bfloat16;
constexpr double step = 0x1p-7;  // between neighbors, relative to the larger

Tensor draw(const Shape& shape, uint64_t seed) {
  Tensor out = Tensor::empty(shape, narrow);
  ref::copy(random(shape, seed), out);
  return out;
}

/// |got - expected| <= one step, plus what `terms` float32 roundings of sums as large as `magnitude` come to.
void check_near(const Tensor& got, const Tensor& expected, int64_t terms = 1, double magnitude = 1) {
  const std::vector<double> e = elements(expected);
  const double rest = static_cast<double>(terms + 2) * float_epsilon * magnitude;
  check_within(got, expected, [&](size_t i) { return step * std::abs(e[i]) + rest; });
}

/// Relative error of what cuDNN rounds to bfloat16 beside bfloat16 activations, since it takes no other dtype there: a
/// convolution's bias, and the gradient of its weight. Half a step to the nearest of two neighbors.
double parameter_rounding() { return std::string_view(device::name()) == "cuda" ? step / 2 : 0; }

}  // namespace

TEST_CASE("casts to and from bfloat16 are exact for every value, round ties to even and keep NaN") {
  std::vector<float> values;
  for (uint32_t bits = 0; bits < 0x10000; ++bits)
    for (const uint32_t below : {0u, 0x7fffu, 0x8000u, 0x8001u})
      values.push_back(std::bit_cast<float>(bits << 16 | below));
  const Tensor x = Tensor::from(values, {static_cast<int64_t>(values.size())});
  Tensor halves = Tensor::empty(x.shape(), narrow), back = Tensor::empty(x.shape());
  kernels::copy(x, halves);
  kernels::copy(halves, back);
  const auto got = back.to_vector<float>();
  size_t wrong = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    const float expected = static_cast<float>(bfloat16(values[i]));
    wrong += std::isnan(expected) ? !std::isnan(got[i])
                                  : std::bit_cast<uint32_t>(got[i]) != std::bit_cast<uint32_t>(expected);
  }
  CHECK(wrong == 0);
  for (const Memory from : every_memory)
    for (const Memory to : every_memory) {
      const Tensor image = draw({3, 5, 7, 9}, 1);
      Tensor copy = empty_in(to, image.shape(), narrow), wide = empty_in(to, image.shape());
      kernels::copy(in(from, image), copy);
      kernels::copy(in(from, image), wide);
      check_equal(copy, image);
      check_equal(wide, image);
    }
}

TEST_CASE("elementwise kernels of bfloat16 agree with the reference in every memory order, broadcast or not") {
  const Shape shapes[] = {{2, 33, 5, 6}, {3, 2000}, {70000}, {1}};
  for (const Shape& shape : shapes) {
    const Tensor a = draw(shape, 1), b = draw(shape, 2);
    Tensor per_channel = draw(Dims::filled(shape.rank(), 1), 3);
    if (shape.rank() > 1) per_channel = draw({shape[1]}, 3);
    Strides strides = Dims::filled(shape.rank(), 0);
    if (shape.rank() > 1) strides[1] = 1;
    const Tensor broadcast(per_channel.storage(), 0, shape, strides, narrow);
    for (const Memory memory : every_memory) {
      const Tensor left = in(memory, a);
      for (const BinaryOp op : {BinaryOp::add, BinaryOp::mul, BinaryOp::relu_grad, BinaryOp::maximum})
        for (const Tensor& right : {b, in(memory, b), broadcast}) {
          Tensor out = empty_in(memory, shape, narrow), expected = Tensor::empty(shape, narrow);
          kernels::binary(op, left, right, out);
          ref::binary(op, left, right, expected);
          check_near(out, expected);
          kernels::binary(op, right, left, out);
          ref::binary(op, right, left, expected);
          check_near(out, expected);
        }
      Tensor less = empty_in(memory, shape, DType::boolean), less_expected = Tensor::empty(shape, DType::boolean);
      kernels::binary(BinaryOp::lt, left, b, less);
      ref::binary(BinaryOp::lt, left, b, less_expected);
      check_equal(less, less_expected);
      Tensor out = empty_in(memory, shape, narrow), expected = Tensor::empty(shape, narrow);
      kernels::unary(UnaryOp::gelu, left, out);
      ref::unary(UnaryOp::gelu, left, expected);
      check_near(out, expected, 8);
      kernels::where(less, left, b, out);
      ref::where(less, left, b, expected);
      check_equal(out, expected);
      Tensor sum = in(memory, b), sum_expected = in(memory, b);
      kernels::axpby(2, left, 0.5, sum);
      ref::axpby(2, left, 0.5, sum_expected);
      check_near(sum, sum_expected);
    }
  }
}

TEST_CASE("reductions of bfloat16 sum in float32 and round once") {
  const Tensor x = draw({4, 17, 6, 5}, 1);
  for (const Memory memory : every_memory)
    for (const Shape& shape : {Shape{1, 17, 1, 1}, Shape{4, 1, 6, 5}, Shape{1, 1, 1, 1}})
      for (const ReduceOp op : {ReduceOp::sum, ReduceOp::max}) {
        Tensor out = Tensor::empty(shape, narrow), expected = Tensor::empty(shape, narrow);
        kernels::reduce(op, in(memory, x), out);
        ref::reduce(op, x, expected);
        check_near(out, expected, x.numel() / numel(shape), static_cast<double>(x.numel() / numel(shape)));
      }
}

TEST_CASE("convolutions of bfloat16 round a float32 weight, and sum its gradient in float32") {
  const struct {
    const char* name;
    Shape x, w;
    Conv2dSpec spec;
  } cases[] = {
      {"3x3 same", {2, 16, 9, 9}, {32, 16, 3, 3}, {.padding = {1, 1, 1, 1}}},
      {"first layer", {3, 3, 12, 12}, {24, 3, 3, 3}, {.padding = {1, 1, 1, 1}}},
      {"stride 2", {2, 16, 9, 10}, {16, 16, 3, 3}, {.stride = {2, 2}, .padding = {1, 1, 1, 1}}},
      {"asymmetric padding", {1, 4, 7, 6}, {8, 4, 3, 3}, {.padding = {0, 2, 1, 0}}},
      {"dilated", {1, 8, 11, 11}, {8, 8, 3, 3}, {.padding = {2, 2, 2, 2}, .dilation = {2, 2}}},
      {"groups", {2, 6, 7, 7}, {8, 3, 3, 3}, {.padding = {1, 1, 1, 1}, .groups = 2}},
      {"depthwise", {2, 12, 7, 7}, {12, 1, 3, 3}, {.padding = {1, 1, 1, 1}, .groups = 12}},
      {"1x1", {2, 33, 5, 5}, {10, 33, 1, 1}, {}},
      {"7x7 stride 2", {1, 3, 15, 15}, {8, 3, 7, 7}, {.stride = {2, 2}, .padding = {3, 3, 3, 3}}},
      {"tiles of a matrix unit", {3, 32, 9, 7}, {64, 32, 3, 3}, {.padding = {1, 1, 1, 1}}},
      {"tiles, stride 2 and uneven padding",
       {5, 64, 14, 13},
       {32, 64, 3, 3},
       {.stride = {2, 2}, .padding = {0, 1, 1, 1}}},
      {"tiles, 1x1 stride 2", {40, 32, 8, 8}, {96, 32, 1, 1}, {.stride = {2, 2}}},
      {"1x1 stride 2", {2, 16, 8, 8}, {32, 16, 1, 1}, {.stride = {2, 2}}},
      {"one of everything", {1, 1, 1, 1}, {1, 1, 1, 1}, {}},
      {"one pixel, stride 2", {1, 48, 1, 1}, {64, 48, 3, 3}, {.stride = {2, 2}, .padding = {1, 1, 1, 1}}},
      {"rows shorter than the stride", {3, 32, 7, 2}, {16, 32, 2, 3}, {.stride = {1, 3}, .padding = {0, 2, 1, 1}}},
  };
  for (const auto& c : cases) {
    const std::string name = c.name;
    CAPTURE(name);
    leave_nan_in_free_memory();
    const Tensor x = draw(c.x, 1), w = random(c.w, 2), bias = random({c.w[0]}, 3), rounded = cast(w, narrow);
    const Shape y_shape = conv2d_shape(c.x, c.w, c.spec);
    const Tensor gy = draw(y_shape, 4);
    const int64_t terms = c.w[1] * c.w[2] * c.w[3], outputs = y_shape[0] * y_shape[2] * y_shape[3];
    for (const Memory memory : every_memory)
      for (const Tensor& weight : {w, rounded}) {
        Tensor y = empty_in(memory, y_shape, narrow), expected = Tensor::empty(y_shape, narrow);
        kernels::conv2d_forward(in(memory, x), weight, bias, true, c.spec, y);
        ref::conv2d_forward(x, rounded, bias, true, c.spec, expected);
        // The bias lies below 1: its rounding counts like that of a sum of some size.
        const double as_sum = parameter_rounding() / float_epsilon / static_cast<double>(terms + 2);
        check_near(y, expected, terms, static_cast<double>(terms + 1) + as_sum);
        Tensor gx = empty_in(memory, c.x, narrow), gx_expected = Tensor::empty(c.x, narrow);
        kernels::conv2d_grad_input(in(memory, gy), in(memory, weight), c.spec, gx);
        ref::conv2d_grad_input(gy, rounded, c.spec, gx_expected);
        check_near(gx, gx_expected, c.w[0] * c.w[2] * c.w[3], static_cast<double>(c.w[0] * c.w[2] * c.w[3]));
      }
    for (const Memory memory : every_memory) {
      Tensor gw = empty_in(memory, c.w), expected = Tensor::empty(c.w);
      kernels::conv2d_grad_weight(in(memory, gy), in(memory, x), c.spec, gw);
      ref::conv2d_grad_weight(gy, x, c.spec, expected);
      const std::vector<double> exact = elements(expected);
      check_within(gw, expected, [&](size_t i) {
        return static_cast<double>(outputs + 2) * float_epsilon * static_cast<double>(outputs) +
               parameter_rounding() * std::abs(exact[i]);
      });
    }
  }
}

TEST_CASE("products of bfloat16 matrices agree with the reference, whatever their strides, in either dtype") {
  for (const auto& [m, k, n] : {std::array<int64_t, 3>{5, 7, 3}, {64, 300, 33}, {1, 9, 1}, {130, 1, 4}}) {
    const Tensor a = draw({2, m, k}, 1), b = draw({2, k, n}, 2);
    for (const Memory memory : {Memory::contiguous, Memory::padded, Memory::reversed})
      for (const DType dtype : {narrow, DType::float32}) {
        Tensor out = empty_in(memory, {2, m, n}, dtype), expected = Tensor::empty({2, m, n}, dtype);
        ref::fill(0.5, out);
        ref::fill(0.5, expected);
        for (const double beta : {0.0, 1.0}) {
          kernels::matmul(in(memory, a), in(memory, b), 1, beta, out);
          ref::matmul(a, b, 1, beta, expected);
          check_near(out, expected, k, 4 * static_cast<double>(k));
        }
      }
  }
}

TEST_CASE(
    "pooling, batch norm, dropout and relu's gradient of bfloat16 agree with the reference in every memory order") {
  const Shape shape{3, 20, 6, 8};
  const Tensor x = draw(shape, 1), gy = draw(shape, 2), weight = random({20}, 3), bias = random({20}, 4);
  const Pool2dSpec spec{.kernel = {3, 3}, .stride = {2, 2}, .padding = {1, 1, 1, 1}, .count_padding = false};
  const Shape pooled{3, 20, 3, 4};
  for (const Memory memory : every_memory) {
    const Tensor input = in(memory, x), gradient = in(memory, gy);
    const auto out = [&](const Shape& s) { return empty_in(memory, s, narrow); };
    const auto expected = [](const Shape& s, DType dtype = narrow) { return Tensor::empty(s, dtype); };
    {
      Tensor y = out(pooled), y2 = expected(pooled), at = expected(pooled, DType::int64),
             at2 = expected(pooled, DType::int64);
      kernels::max_pool2d_forward(input, spec, y, at);
      ref::max_pool2d_forward(x, spec, y2, at2);
      check_equal(y, y2);
      check_equal(at, at2);
      Tensor gx = out(shape), gx2 = expected(shape);
      kernels::max_pool2d_scatter(y, at, gx);
      ref::max_pool2d_scatter(y2, at, gx2);
      check_near(gx, gx2);
      kernels::max_pool2d_gather(gradient, at, y);
      ref::max_pool2d_gather(gy, at, y2);
      check_equal(y, y2);
      kernels::avg_pool2d_forward(input, spec, y);
      ref::avg_pool2d_forward(x, spec, y2);
      check_near(y, y2, 9);
      kernels::avg_pool2d_backward(y2, spec, gx);
      ref::avg_pool2d_backward(y2, spec, gx2);
      check_near(gx, gx2, 4);
    }
    {
      Tensor y = out(shape), y2 = expected(shape), mean = Tensor::empty({20}), rstd = Tensor::empty({20});
      Tensor mean2 = Tensor::empty({20}), rstd2 = Tensor::empty({20});
      kernels::batch_norm_train(input, weight, bias, 1e-3, y, mean, rstd);
      ref::batch_norm_train(x, weight, bias, 1e-3, y2, mean2, rstd2);
      check_near(y, y2, 16, 4);
      check_within(mean, mean2, [](size_t) { return 200 * float_epsilon; });
      check_within(rstd, rstd2, [](size_t) { return 200 * float_epsilon; });
      Tensor gx = out(shape), gx2 = expected(shape), gw = mean, gb = rstd, gw2 = expected({20}, DType::float32);
      Tensor gb2 = expected({20}, DType::float32);
      gw = expected({20}, DType::float32), gb = expected({20}, DType::float32);
      kernels::batch_norm_backward(gradient, input, weight, mean2, rstd2, gx, gw, gb);
      ref::batch_norm_backward(gy, x, weight, mean2, rstd2, gx2, gw2, gb2);
      check_near(gx, gx2, 16, 8);
      for (const auto& [sum, exact] : {std::pair(gw, gw2), std::pair(gb, gb2)})
        check_within(sum, exact, [](size_t) { return 200 * 150 * float_epsilon; });
    }
    for (const double p : {0.3, 0.5}) {
      Tensor y = out(shape), y2 = expected(shape);
      kernels::dropout({.seed = 4}, p, input, y);
      ref::dropout({.seed = 4}, p, x, y2);
      check_near(y, y2);
    }
    Tensor gz = out(shape), gz2 = expected(shape), gbias = Tensor::empty({20}), gbias2 = Tensor::empty({20});
    kernels::bias_relu_backward(gradient, input, gz, gbias);
    ref::bias_relu_backward(gy, x, gz2, gbias2);
    check_equal(gz, gz2);
    check_within(gbias, gbias2, [](size_t) { return 200 * 150 * float_epsilon; });
  }
}

TEST_CASE("parameters beside bfloat16 activations are float32, and a message says so") {
  const Tensor x = draw({1, 3, 4, 4}, 1), w = draw({2, 3, 3, 3}, 2);
  CHECK_THROWS_WITH_AS(conv2d(x, w, draw({2}, 3), {}),
                       "[conv2d] the bias beside bfloat16 activations needs float32, got bfloat16 [2]", Error);
  CHECK_THROWS_WITH_AS(conv2d(x, cast(w, DType::float64), {}, {}),
                       "[conv2d] the weight beside bfloat16 activations needs float32, got float64 [2,3,3,3]", Error);
  CHECK_THROWS_WITH_AS(batch_norm(x, draw({3}, 4), {}, 1e-5),
                       "[batch_norm] the weight beside bfloat16 activations needs float32, got bfloat16 [3]", Error);
  CHECK_THROWS_WITH_AS(matmul(draw({2, 2}, 5), draw({2, 2}, 6), DType::float64),
                       "[matmul] a product of bfloat16 cannot be float64; cast the result", Error);
}
