#include <functional>
#include <numbers>

#include "core/error.h"
#include "core/ops.h"
#include "tests/core/cpu_compare.h"

using namespace gradus;
using namespace gradus::testing;

namespace {

using Values = std::vector<double>;

Tensor bools(std::initializer_list<bool> values, const Shape& shape) { return Tensor::from<bool>(values, shape); }

struct UnaryCase {
  const char* name;
  Tensor (*op)(const Tensor&);
  double (*expected)(double);
  double low, high;
};

// The functions as a mathematician writes them; std:: ones are correct to less than an ulp of double.
const UnaryCase unary_cases[] = {
    {"neg", neg, [](double x) { return -x; }, -3, 3},
    {"abs", abs, [](double x) { return x < 0 ? -x : x; }, -3, 3},
    {"sign", sign, [](double x) { return double((x > 0) - (x < 0)); }, -3, 3},
    {"exp", exp, [](double x) { return std::exp(x); }, -3, 3},
    {"log", log, [](double x) { return std::log(x); }, 0.1, 9},
    {"sqrt", sqrt, [](double x) { return std::sqrt(x); }, 0, 9},
    {"rsqrt", rsqrt, [](double x) { return std::pow(x, -0.5); }, 0.1, 9},
    {"reciprocal", reciprocal, [](double x) { return 1 / x; }, 0.1, 9},
    {"square", square, [](double x) { return x * x; }, -3, 3},
    {"sin", sin, [](double x) { return std::sin(x); }, -3, 3},
    {"cos", cos, [](double x) { return std::cos(x); }, -3, 3},
    {"erf", erf, [](double x) { return std::erf(x); }, -3, 3},
    {"tanh", tanh, [](double x) { return std::tanh(x); }, -3, 3},
    {"sigmoid", sigmoid, [](double x) { return 1 / (1 + std::exp(-x)); }, -9, 9},
    {"softplus", softplus, [](double x) { return std::log(1 + std::exp(x)); }, -3, 9},
    {"relu", relu, [](double x) { return x > 0 ? x : 0; }, -3, 3},
    {"gelu", gelu, [](double x) { return x * (1 + std::erf(x / std::sqrt(2.0))) / 2; }, -3, 3},
    {"silu", silu, [](double x) { return x / (1 + std::exp(-x)); }, -3, 3},
};

Tensor random_f64(const Shape& shape, uint64_t seed, double low = -1, double high = 1) {
  return cast(random(shape, seed, low, high), DType::float64);
}

}  // namespace

TEST_CASE("every unary function has its mathematical value in float64, whatever the strides") {
  for (const UnaryCase& c : unary_cases)
    for (const Memory memory : every_memory) {
      CAPTURE(c.name);
      const Tensor x = in(memory, random_f64({2, 3, 4, 5}, 1, c.low, c.high));
      const Values from = elements(x), got = elements(c.op(x));
      for (size_t i = 0; i < from.size(); ++i)
        CHECK(got[i] == doctest::Approx(c.expected(from[i])).epsilon(1e-14).scale(1e-2));
    }
}

TEST_CASE("every unary function keeps float32 within its rounding of float64") {
  for (const UnaryCase& c : unary_cases) {
    CAPTURE(c.name);
    const Tensor x = random({3, 67}, 2, c.low, c.high);
    const Tensor y = c.op(x), exact = c.op(cast(x, DType::float64));
    CHECK(y.dtype() == DType::float32);
    const Values e = elements(exact);
    check_within(y, exact, [&](size_t i) { return 1e-6 * std::max(std::abs(e[i]), 0.1); });
  }
}

TEST_CASE("functions with tails stay finite and exact far out") {
  const Tensor x = Tensor::from<double>({-800, 800}, {2});
  CHECK(elements(sigmoid(x)) == Values{0, 1});
  CHECK(elements(softplus(x)) == Values{0, 800});
  CHECK(elements(gelu(x)) == Values{0, 800});
  CHECK(elements(leaky_relu(x, 0.25)) == Values{-200, 800});
  CHECK(elements(leaky_relu(x))[0] == doctest::Approx(-8));
}

TEST_CASE("NaN passes through relu, sign, maximum, minimum and clamp") {
  for (const DType dtype : {DType::float32, DType::float64}) {
    const Tensor nan = Tensor::full({1}, std::nan(""), dtype), one = Tensor::ones({1}, dtype);
    for (const Tensor& y : {relu(nan), sign(nan), maximum(nan, one), maximum(one, nan), minimum(nan, one),
                            minimum(one, nan), clamp(nan, -1, 1)})
      CHECK(std::isnan(y.item()));
  }
}

TEST_CASE("integers add, multiply and compare as integers, beyond what a double holds") {
  const int64_t big = (int64_t{1} << 53) + 1;
  const Tensor a = Tensor::from<int64_t>({big, -7}, {2}), b = Tensor::from<int64_t>({1, 2}, {2});
  CHECK((a + b).to_vector<int64_t>() == std::vector<int64_t>{big + 1, -5});
  CHECK((a * b).to_vector<int64_t>() == std::vector<int64_t>{big, -14});
  CHECK((a - 1.0).to_vector<int64_t>() == std::vector<int64_t>{big - 1, -8});
  CHECK(abs(a).to_vector<int64_t>() == std::vector<int64_t>{big, 7});
  CHECK(elements(greater(a, b)) == Values{1, 0});
  CHECK((Tensor::from<uint8_t>({250}, {1}) + 10.0).item() == 4);  // wraps
  CHECK(relu(Tensor::from<int32_t>({-3, 3}, {2})).to_vector<int32_t>() == std::vector<int32_t>{0, 3});
}

TEST_CASE("operators mean what they spell") {
  const Tensor a = Tensor::from<float>({6, 8}, {2}), b = Tensor::from<float>({2, 4}, {2});
  CHECK(elements(a + b) == Values{8, 12});
  CHECK(elements(a - b) == Values{4, 4});
  CHECK(elements(a * b) == Values{12, 32});
  CHECK(elements(a / b) == Values{3, 2});
  CHECK(elements(-a) == Values{-6, -8});
  CHECK(elements(a + 1.0) == Values{7, 9});
  CHECK(elements(a - 1.0) == Values{5, 7});
  CHECK(elements(a * 2.0) == Values{12, 16});
  CHECK(elements(a / 2.0) == Values{3, 4});
  CHECK(elements(1.0 + a) == Values{7, 9});
  CHECK(elements(1.0 - a) == Values{-5, -7});
  CHECK(elements(2.0 * a) == Values{12, 16});
  CHECK(elements(24.0 / a) == Values{4, 3});
  CHECK(elements(pow(b, b)) == Values{4, 256});
  CHECK(elements(pow(b, 3)) == Values{8, 64});
  CHECK(elements(maximum(a, b * 2.0)) == Values{6, 8});
  CHECK(elements(minimum(a, b * 2.0)) == Values{4, 8});
  CHECK(elements(maximum(a, 7)) == Values{7, 8});
  CHECK(elements(minimum(a, 7)) == Values{6, 7});
  CHECK(elements(clamp(a, 6.5, 7)) == Values{6.5, 7});
  CHECK(elements(where(greater(a, 7), a, 0)) == Values{0, 8});
  CHECK(elements(where(greater(a, 7), 0, a)) == Values{6, 0});
}

TEST_CASE("comparisons give bool") {
  const Tensor a = Tensor::from<double>({1, 2, 3}, {3}), b = Tensor::from<double>({2, 2, 2}, {3});
  CHECK(less(a, b).dtype() == DType::boolean);
  CHECK(elements(equal(a, b)) == Values{0, 1, 0});
  CHECK(elements(not_equal(a, b)) == Values{1, 0, 1});
  CHECK(elements(less(a, b)) == Values{1, 0, 0});
  CHECK(elements(less_equal(a, b)) == Values{1, 1, 0});
  CHECK(elements(greater(a, b)) == Values{0, 0, 1});
  CHECK(elements(greater_equal(a, b)) == Values{0, 1, 1});
  CHECK(elements(equal(a, 3)) == Values{0, 0, 1});
  CHECK(elements(not_equal(a, 3)) == Values{1, 1, 0});
  CHECK(elements(less(a, 3)) == Values{1, 1, 0});
  CHECK(elements(less_equal(a, 2)) == Values{1, 1, 0});
  CHECK(elements(greater(a, 1)) == Values{0, 1, 1});
  CHECK(elements(greater_equal(a, 2)) == Values{0, 1, 1});
  const Tensor p = bools({true, true, false, false}, {4}), q = bools({true, false, true, false}, {4});
  CHECK(elements(logical_and(p, q)) == Values{1, 0, 0, 0});
  CHECK(elements(logical_or(p, q)) == Values{1, 1, 1, 0});
  CHECK(elements(logical_not(p)) == Values{0, 0, 1, 1});
  CHECK(elements(equal(p, q)) == Values{1, 0, 0, 1});
}

TEST_CASE("gradient kernels are the derivatives of their functions") {
  const double h = 1e-6;  // central differences err by about h^2 |f'''| / 6 + 1e-16 / h
  const Tensor x = random_f64({40}, 3, -2, 2) + 1e-3;
  const Tensor gy = random_f64({40}, 4);
  struct Case {
    BinaryOp grad;
    std::function<Tensor(const Tensor&)> f;
    bool from_output;
  };
  const Case cases[] = {
      {BinaryOp::relu_grad, [](const Tensor& t) { return relu(t); }, true},
      {BinaryOp::tanh_grad, [](const Tensor& t) { return tanh(t); }, true},
      {BinaryOp::sigmoid_grad, [](const Tensor& t) { return sigmoid(t); }, true},
      {BinaryOp::leaky_relu_grad, [](const Tensor& t) { return leaky_relu(t, 0.1); }, false},
      {BinaryOp::gelu_grad, [](const Tensor& t) { return gelu(t); }, false},
      {BinaryOp::softplus_grad, [](const Tensor& t) { return softplus(t); }, false},
  };
  for (const Case& c : cases) {
    const Tensor expected = gy * ((c.f(x + h) - c.f(x - h)) / (2 * h));
    check_within(binary(c.grad, gy, c.from_output ? c.f(x) : x, 0.1), expected, [](size_t) { return 1e-9; });
  }
}

TEST_CASE("operands broadcast at the right") {
  const Tensor column = Tensor::from<float>({10, 20}, {2, 1}), row = Tensor::from<float>({1, 2, 3}, {3});
  const Tensor sum = column + row;
  CHECK(sum.shape() == Shape{2, 3});
  CHECK(elements(sum) == Values{11, 12, 13, 21, 22, 23});
  CHECK(elements(row - column) == Values{-9, -8, -7, -19, -18, -17});
  CHECK((column + Tensor::ones({})).shape() == Shape{2, 1});
  CHECK((Tensor::ones({0, 3}) + row).shape() == Shape{0, 3});
  const Tensor chosen = where(bools({true, false, true}, {3}), column, Tensor::full({}, -1));
  CHECK(elements(chosen) == Values{10, -1, 10, 20, -1, 20});
}

TEST_CASE("outputs keep the memory order of the first dense operand of full shape") {
  const Tensor last = in(Memory::channels_last, random({2, 3, 4, 5}, 5)), first = random({2, 3, 4, 5}, 6);
  const Tensor bias = Tensor::ones({1, 3, 1, 1});
  const auto only_channels_last = [](const Tensor& x) { return x.is_channels_last() && !x.is_contiguous(); };
  CHECK(only_channels_last(relu(last)));
  CHECK(only_channels_last(last + 1.0));
  CHECK(only_channels_last(bias + last));
  CHECK(only_channels_last(last + first));
  CHECK((first + last).is_contiguous());
  CHECK(only_channels_last(expand(bias, last.shape()) + last));
  CHECK(only_channels_last(greater(last, 0)));
  CHECK(only_channels_last(where(greater(last, 0), last, Tensor::zeros({}))));
  check_equal(last + first, first + last);
}

TEST_CASE("every pair of memory orders gives the same values") {
  const Tensor a = random({2, 3, 4, 5}, 7), b = random({2, 3, 4, 5}, 8, 0.5, 2);
  for (const DType dtype : {DType::float32, DType::float64})
    for (const Memory left : every_memory)
      for (const Memory right : every_memory) {
        const Tensor x = cast(a, dtype), y = cast(b, dtype);
        check_equal(in(left, x) / in(right, y), x / y);
        check_equal(greater(in(left, x), in(right, y)), greater(x, y));
        check_equal(where(in(left, greater(x, 0)), in(right, x), in(left, y)), where(greater(x, 0), x, y));
      }
}

TEST_CASE("elementwise operations name what does not fit") {
  const Tensor f = Tensor::zeros({2, 3}), d = Tensor::zeros({3}, DType::float64);
  const Tensor i = Tensor::zeros({2}, DType::int64), flag = bools({true}, {1});
  CHECK_THROWS_WITH_AS(relu(Tensor()),
                       "[relu] the input is an undefined tensor; a default-constructed Tensor holds nothing", Error);
  CHECK_THROWS_WITH_AS(f + Tensor(),
                       "[add] the second operand is an undefined tensor; a default-constructed Tensor holds nothing",
                       Error);
  CHECK_THROWS_WITH_AS(
      f * d,
      "[mul] operands need one dtype, got float32 [2,3] and float64 [3]; nothing is promoted silently: "
      "cast one of them",
      Error);
  CHECK_THROWS_WITH_AS(
      exp(i), "[exp] computes in float32 or float64, got int64 [2]; cast it first, as in cast(x, DType::float32)",
      Error);
  CHECK_THROWS_AS(i / i, Error);
  CHECK_THROWS_WITH_AS(flag + flag,
                       "[add] needs numbers, got bool [1]; cast it first, or use logical_and, logical_or, logical_not",
                       Error);
  CHECK_THROWS_WITH_AS(logical_not(f),
                       "[logical_not] needs bool, got float32 [2,3]; compare it first, as in not_equal(x, y)", Error);
  CHECK_THROWS_WITH_AS(i + 0.5, "[add] int64 elements cannot hold the scalar 0.5; cast the tensor to a type that can",
                       Error);
  CHECK_THROWS_AS(Tensor::zeros({1}, DType::uint8) - 256.0, Error);
  CHECK_THROWS_AS(1e10 - Tensor::zeros({1}, DType::int32), Error);
  CHECK_THROWS_WITH_AS(clamp(f, 1, 0), "[clamp] needs low <= high, got [1, 0]", Error);
  CHECK_THROWS_WITH_AS(clamp(i, 0.5, 1),
                       "[clamp] int64 elements cannot hold the scalar 0.5; cast the tensor to a type that can", Error);
  CHECK_THROWS_AS(clamp(flag, 0, 1), Error);
  CHECK_THROWS_AS(clamp_grad(f, i, 0, 1), Error);
  CHECK_THROWS_AS(clamp_grad(d, f, 0, 1), Error);
  CHECK_THROWS_WITH_AS(clamp_grad(Tensor::zeros({2}), f, 0, 1), "[clamp_grad] the gradient needs shape [2,3], got [2]",
                       Error);
  CHECK_THROWS_AS(f + Tensor::zeros({2}), Error);
  CHECK_THROWS_WITH_AS(
      where(f, f, f),
      "[where] the condition needs bool, got float32 [2,3]; make it with a comparison such as greater(x, 0)", Error);
  CHECK_THROWS_AS(where(flag, f, d), Error);
  CHECK_THROWS_WITH_AS(where(flag, i, 0.5),
                       "[where] int64 elements cannot hold the scalar 0.5; cast the tensor to a type that can", Error);
}
