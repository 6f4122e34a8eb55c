// Winograd convolution against the reference in float64: any height and width, any padding, every pass.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <string_view>

#include "core/error.h"
#include "core/kernels.h"
#include "core/ops.h"
#include "core/parallel.h"
#include "tests/core/cpu_compare.h"

using namespace gradus;
using namespace gradus::testing;

namespace {

Tensor channels_last(const Shape& shape, uint64_t stream, DType dtype = DType::float32) {
  return contiguous(cast(random_normal(shape, 0, 1, {1, stream, 0}), dtype), Layout::channels_last);
}

double relative_error(const Tensor& got, const Tensor& expected) {
  return norm(cast(got, DType::float64) - expected) / norm(expected);
}

struct WinogradCase {
  Shape x;
  int64_t out;
  Conv2dSpec spec;
};

const WinogradCase winograd_cases[] = {
    {{2, 16, 8, 8}, 16, {.padding = {1, 1, 1, 1}}},                      // whole tiles
    {{1, 32, 7, 5}, 48, {.padding = {1, 1, 1, 1}}},                      // tiles cut at both borders
    {{2, 96, 8, 8}, 96, {}},                                             // no padding
    {{1, 48, 5, 6}, 80, {.padding = {2, 2, 2, 2}}},                      // full padding
    {{3, 64, 9, 10}, 112, {.padding = {0, 1, 2, 1}}},                    // asymmetric
    {{1, 16, 1, 1}, 16, {.padding = {1, 1, 1, 1}}},                      // a single pixel
    {{70, 16, 3, 4}, 16, {.padding = {1, 1, 1, 1}}},                     // more tiles than fit one block
    {{2, 16, 16, 16}, 16, {.stride = {2, 2}, .padding = {1, 1, 1, 1}}},  // stride 2: whole tiles
    {{2, 96, 16, 16}, 64, {.stride = {2, 2}, .padding = {0, 0, 1, 1}}},  // the other parity of padding
    {{3, 32, 13, 10}, 48, {.stride = {2, 2}, .padding = {1, 1, 1, 1}}},  // tiles cut at both borders
    {{1, 48, 9, 11}, 80, {.stride = {2, 2}}},                            // no padding
    {{1, 16, 8, 7}, 32, {.stride = {2, 2}, .padding = {2, 2, 2, 2}}},    // full padding
    {{2, 16, 10, 8}, 16, {.stride = {2, 2}, .padding = {2, 0, 1, 2}}},   // asymmetric
    {{1, 16, 1, 1}, 16, {.stride = {2, 2}, .padding = {1, 1, 1, 1}}},    // a single pixel
    {{90, 16, 5, 6}, 16, {.stride = {2, 2}, .padding = {1, 1, 1, 1}}},   // more tiles than fit one block
};

double worst_error(const WinogradCase& c) {
  const Tensor x = channels_last(c.x, 0), w = random_normal({c.out, c.x[1], 3, 3}, 0, 1, {1, 1, 0});
  const Tensor bias = random_normal({c.out}, 0, 1, {1, 2, 0});
  const Shape out = conv2d_shape(x.shape(), w.shape(), c.spec);
  const Tensor gy = channels_last(out, 3);
  const auto wide = [](const Tensor& t) { return cast(t, DType::float64); };
  return std::max<double>(
      {relative_error(conv2d(x, w, bias, c.spec, true), conv2d(wide(x), wide(w), wide(bias), c.spec, true)),
       relative_error(conv2d(x, w, {}, c.spec), conv2d(wide(x), wide(w), {}, c.spec)),
       relative_error(conv2d_grad_input(gy, w, c.spec, x.shape()),
                      conv2d_grad_input(wide(gy), wide(w), c.spec, x.shape())),
       relative_error(conv2d_grad_weight(gy, x, c.spec, w.shape()),
                      conv2d_grad_weight(wide(gy), wide(x), c.spec, w.shape()))});
}

}  // namespace

TEST_CASE("winograd agrees with the reference for every geometry") {
  const Algorithm algorithm(ConvAlgorithm::winograd);
  // F(4x4, 3x3) amplifies rounding about ten times over the direct sum: 2^-24 times some 20.
  for (const WinogradCase& c : winograd_cases) {
    CAPTURE(c.x);
    CHECK(worst_error(c) < 4e-6);
  }
}

TEST_CASE("convolution of bfloat16, by winograd where there is one, rounds filters and results, and nothing between") {
  const Algorithm algorithm(ConvAlgorithm::winograd);
  const auto wide = [](const Tensor& t) { return cast(t, DType::float64); };
  // cuDNN rounds the gradient of the weight, too.
  const double gradient_error = std::string_view(device::name()) == "cuda" ? 0x1p-9 : 4e-6;
  for (const WinogradCase& c : winograd_cases) {
    CAPTURE(c.x);
    const Tensor x = channels_last(c.x, 0, DType::bfloat16), w = random_normal({c.out, c.x[1], 3, 3}, 0, 1, {1, 1, 0});
    const Tensor rounded = cast(w, DType::bfloat16), bias = random_normal({c.out}, 0, 1, {1, 2, 0});
    const Tensor gy = channels_last(conv2d_shape(x.shape(), w.shape(), c.spec), 3, DType::bfloat16);
    const Tensor y = conv2d(wide(x), wide(rounded), wide(bias), c.spec, true);
    const Tensor gx = conv2d_grad_input(wide(gy), wide(rounded), c.spec, x.shape());
    for (const Tensor& filter : {w, rounded}) {
      // An element is rounded by at most 2^-9 of it; by 2^-9 / sqrt(12) to sqrt(3) on average.
      CHECK(relative_error(conv2d(x, filter, bias, c.spec, true), y) < 0x1p-9);
      CHECK(relative_error(conv2d_grad_input(gy, filter, c.spec, x.shape()), gx) < 0x1p-9);
    }
    CHECK(relative_error(conv2d_grad_weight(gy, x, c.spec, w.shape()),
                         conv2d_grad_weight(wide(gy), wide(x), c.spec, w.shape())) < gradient_error);
  }
}

TEST_CASE("winograd is really taken where it is asked for") {
  const Tensor x = channels_last({1, 16, 8, 8}, 0), w = random_normal({16, 16, 3, 3}, 0, 1, {1, 1, 0});
  const Conv2dSpec spec{.padding = {1, 1, 1, 1}};
  const auto run = [&](ConvAlgorithm a) {
    const Algorithm algorithm(a);
    return conv2d(x, w, {}, spec).to_vector<float>();
  };
  CHECK(run(ConvAlgorithm::winograd) != run(ConvAlgorithm::direct));
  // On a GPU bfloat16 is always the direct sum.
  if (std::string_view(device::name()) != "cpu") return;
  const Tensor narrow = cast(x, DType::bfloat16);
  const auto run_narrow = [&](ConvAlgorithm a) {
    const Algorithm algorithm(a);
    return conv2d_grad_weight(narrow, narrow, spec, w.shape())
        .to_vector<float>();  // the one result that is not rounded
  };
  CHECK(run_narrow(ConvAlgorithm::winograd) != run_narrow(ConvAlgorithm::direct));
}

TEST_CASE("the fixed rule gives equal bits in equal runs and measuring stays accurate") {
  const WinogradCase c{{2, 48, 12, 12}, 64, {.padding = {1, 1, 1, 1}}};
  const Tensor x = channels_last(c.x, 0), gy = channels_last({2, 64, 12, 12}, 3);
  const auto first = conv2d_grad_weight(gy, x, c.spec, {64, 48, 3, 3}).to_vector<float>();
  for (int i = 0; i < 3; ++i) CHECK(conv2d_grad_weight(gy, x, c.spec, {64, 48, 3, 3}).to_vector<float>() == first);
  const Algorithm algorithm(ConvAlgorithm::measure);
  CHECK(worst_error(c) < 4e-6);
}

TEST_CASE("NaN is not hidden by a fused ReLU") {
  const Algorithm algorithm(ConvAlgorithm::winograd);
  for (const DType dtype : {DType::float32, DType::bfloat16}) {
    Tensor x = channels_last({1, 16, 4, 4}, 0, dtype);
    fill_(x, std::nan(""));
    const Tensor y = conv2d(x, Tensor::ones({16, 16, 3, 3}), {}, {.padding = {1, 1, 1, 1}}, true);
    CHECK(std::isnan(cast(y, DType::float32).to_vector<float>()[0]));
  }
}

TEST_CASE("an unknown algorithm is named") {
  CHECK(parse_conv_algorithm("auto") == ConvAlgorithm::automatic);
  CHECK_THROWS_WITH_AS(parse_conv_algorithm("fft"),
                       "[convolution] expects direct, winograd, auto or measure, got 'fft'", Error);
}
