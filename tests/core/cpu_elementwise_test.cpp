// Elementwise kernels of the device in float32 against the reference, in every memory order and broadcast.
#include <string>

#include "core/parallel.h"
#include "tests/core/cpu_compare.h"

using namespace gradus;
using namespace gradus::testing;

namespace {

constexpr UnaryOp unary_ops[] = {
    UnaryOp::neg,   UnaryOp::abs,        UnaryOp::sign,     UnaryOp::exp,  UnaryOp::log,        UnaryOp::sqrt,
    UnaryOp::rsqrt, UnaryOp::reciprocal, UnaryOp::square,   UnaryOp::sin,  UnaryOp::cos,        UnaryOp::erf,
    UnaryOp::tanh,  UnaryOp::sigmoid,    UnaryOp::softplus, UnaryOp::relu, UnaryOp::leaky_relu, UnaryOp::gelu};
constexpr BinaryOp arithmetic_ops[] = {BinaryOp::add,
                                       BinaryOp::sub,
                                       BinaryOp::mul,
                                       BinaryOp::div,
                                       BinaryOp::pow,
                                       BinaryOp::maximum,
                                       BinaryOp::minimum,
                                       BinaryOp::relu_grad,
                                       BinaryOp::tanh_grad,
                                       BinaryOp::sigmoid_grad,
                                       BinaryOp::leaky_relu_grad,
                                       BinaryOp::gelu_grad,
                                       BinaryOp::softplus_grad};
constexpr BinaryOp comparison_ops[] = {BinaryOp::eq, BinaryOp::ne, BinaryOp::lt,
                                       BinaryOp::le, BinaryOp::gt, BinaryOp::ge};

const Shape elementwise_shapes[] = {{},           {1}, {7}, {0, 3}, {5, 1, 4}, {3, 200}, {4, 96, 5, 3}, {2, 3, 33, 17},
                                    {1, 16, 1, 1}};

/// Largest error of the vectorized functions in ulps (cpu_math_test.cpp), in units of roundoff, and slack for the
/// gradients, which multiply three such values of size at most 2.
auto bound_of(const Tensor& expected) {
  return [values = elements(expected)](size_t i) { return 16 * float_epsilon * std::max(std::abs(values[i]), 0.25); };
}

/// x with stride 0 along the dimensions in the mask, and its elements there those at 0.
Tensor broadcast_along(const Tensor& x, uint32_t mask) {
  Strides strides = x.strides();
  for (int d = 0; d < x.rank(); ++d)
    if (mask >> d & 1) strides[d] = 0;
  return Tensor(x.storage(), x.offset(), x.shape(), strides, x.dtype());
}

}  // namespace

TEST_CASE("powers by the exponents that have loops of their own are the C library's, of zeros and infinities too") {
  const float infinity = std::numeric_limits<float>::infinity(), tiny = std::numeric_limits<float>::denorm_min();
  std::vector<float> values{0.0f,  -0.0f,  infinity, -infinity, NAN,     1,     -1,     -3,    tiny,
                            -tiny, 1e-13f, -1e-13f,  1e-38f,    -2e-38f, 3e38f, -3e38f, 2e12f, 8e12f};
  for (const double v : elements(random({1000}, 5, -3, 3))) values.push_back(static_cast<float>(v));
  const Tensor x = Tensor::from(values, {static_cast<int64_t>(values.size())});
  for (const float exponent : {2.0f, 3.0f, 0.5f, -1.0f}) {
    CAPTURE(exponent);
    Tensor y = Tensor::empty(x.shape());
    kernels::binary_scalar(BinaryOp::pow, x, exponent, y);
    for (size_t i = 0; i < values.size(); ++i) {
      const float got = y.data<float>()[i], right = std::pow(values[i], exponent);
      CAPTURE(values[i]);
      CAPTURE(got);
      CAPTURE(right);
      if (std::isnan(right)) {
        CHECK(std::isnan(got));
      } else {  // a unit in the last place: the C library does not promise the nearest float
        CHECK(std::signbit(got) == std::signbit(right));
        CHECK((got == right || std::nextafter(got, right) == right));
      }
    }
  }
}

TEST_CASE("unary kernels agree with the reference in every memory order") {
  for (const UnaryOp op : unary_ops) {
    for (const Shape& shape : elementwise_shapes) {
      const bool positive = op == UnaryOp::log || op == UnaryOp::sqrt || op == UnaryOp::rsqrt;
      const Tensor x = random(shape, 1, positive ? 0.1 : -3, 3);
      Tensor expected = Tensor::empty(shape);
      ref::unary(op, x, expected, 0.1);
      for (const Memory from : every_memory) {
        for (const Memory to : every_memory) {
          Tensor out = empty_in(to, shape);
          kernels::unary(op, in(from, x), out, 0.1);
          check_within(out, expected, bound_of(expected));
        }
      }
    }
  }
}

TEST_CASE("binary kernels agree with the reference in every memory order") {
  for (const BinaryOp op : arithmetic_ops) {
    for (const Shape& shape : elementwise_shapes) {
      const Tensor a = random(shape, 1, op == BinaryOp::pow ? 0.1 : -2, 2), b = random(shape, 2, -2, 2);
      Tensor expected = Tensor::empty(shape);
      ref::binary(op, a, b, expected, 0.1);
      for (const Memory left : every_memory) {
        for (const Memory right : every_memory) {
          Tensor out = empty_in(left, shape);
          kernels::binary(op, in(left, a), in(right, b), out, 0.1);
          check_within(out, expected, bound_of(expected));
        }
      }
    }
  }
}

TEST_CASE("binary kernels agree with the reference under every broadcast of either operand") {
  for (const Memory memory : every_memory) {
    for (const Shape& shape : {Shape{4, 96, 5, 3}, Shape{3, 2, 200, 2}, Shape{2, 5, 3, 7}}) {
      const Tensor a = in(memory, random(shape, 3)), b = in(memory, random(shape, 4));
      for (uint32_t mask = 0; mask < 16; ++mask) {
        const Tensor spread = broadcast_along(b, mask);
        Tensor expected = Tensor::empty(shape), out = empty_in(memory, shape);
        ref::binary(BinaryOp::sub, a, spread, expected);
        kernels::binary(BinaryOp::sub, a, spread, out);
        check_equal(out, expected);
        ref::binary(BinaryOp::sub, spread, a, expected);
        kernels::binary(BinaryOp::sub, spread, a, out);
        check_equal(out, expected);
        ref::binary(BinaryOp::sub, spread, broadcast_along(a, 15), expected);
        kernels::binary(BinaryOp::sub, spread, broadcast_along(a, 15), out);
        check_equal(out, expected);
      }
    }
  }
}

TEST_CASE("kernels with a scalar operand agree with the reference") {
  const Shape shape{3, 5, 70, 2};
  for (const double scalar : {2.0, 0.5, -1.25}) {
    for (const BinaryOp op : arithmetic_ops) {
      const Tensor x = random(shape, 5, op == BinaryOp::pow ? 0.1 : -2, 2);
      for (const Memory memory : every_memory) {
        Tensor expected = Tensor::empty(shape), out = empty_in(memory, shape);
        ref::binary_scalar(op, x, scalar, expected);
        kernels::binary_scalar(op, in(memory, x), scalar, out);
        check_within(out, expected, bound_of(expected));
        ref::scalar_binary(op, std::abs(scalar), x, expected);
        kernels::scalar_binary(op, std::abs(scalar), in(memory, x), out);
        check_within(out, expected, bound_of(expected));
      }
    }
  }
}

TEST_CASE("comparisons agree with the reference, with tensors and scalars") {
  const Shape shape{3, 5, 70, 2};
  Tensor a = random(shape, 6), b = random(shape, 7);
  for (Tensor* t : {&a, &b})  // coarse values, so that many are equal
    for (int64_t i = 0; i < t->numel(); ++i) t->data<float>()[i] = std::round(2 * t->data<float>()[i]) / 2;
  for (const BinaryOp op : comparison_ops) {
    for (const Memory memory : every_memory) {
      Tensor expected = Tensor::empty(shape, DType::boolean), out = empty_in(memory, shape, DType::boolean);
      ref::binary(op, a, b, expected);
      kernels::binary(op, in(memory, a), b, out);
      check_equal(out, expected);
      ref::binary_scalar(op, a, 0.5, expected);
      kernels::binary_scalar(op, in(memory, a), 0.5, out);
      check_equal(out, expected);
      ref::scalar_binary(op, 0.5, a, expected);
      kernels::scalar_binary(op, 0.5, in(memory, a), out);
      check_equal(out, expected);
    }
  }
}

TEST_CASE("NaN wins maximum and minimum, passes relu, and is unequal to itself") {
  const Tensor a = Tensor::from({NAN, 1.0f, NAN, 3.0f}, {4}), b = Tensor::from({0.0f, NAN, NAN, -4.0f}, {4});
  for (const BinaryOp op : {BinaryOp::maximum, BinaryOp::minimum, BinaryOp::add, BinaryOp::relu_grad}) {
    Tensor expected = Tensor::empty({4}), out = Tensor::empty({4});
    ref::binary(op, a, b, expected);
    kernels::binary(op, a, b, out);
    check_equal(out, expected);
  }
  Tensor out = Tensor::empty({4}), equal = Tensor::empty({4}, DType::boolean);
  kernels::unary(UnaryOp::relu, a, out);
  CHECK(std::isnan(bits_of(out)[0]));
  kernels::binary(BinaryOp::eq, a, a, equal);
  CHECK(equal.to_vector<bool>() == std::vector<bool>{false, true, false, true});
}

TEST_CASE("float64 has the reference's bits in every memory order, where no transcendental function is asked for") {
  const float special[] = {0.0f, -0.0f, NAN, INFINITY, -1.0f};
  for (const Shape& shape : elementwise_shapes) {
    Tensor values = random(shape, 1, 0, 2), a = Tensor::empty(shape, DType::float64);
    ref::copy(values, a);
    values = random(shape, 2);
    for (int64_t i = 0; i < values.numel(); i += 7) values.data<float>()[i] = special[i / 7 % 5];
    Tensor b = Tensor::empty(shape, DType::float64);
    ref::copy(values, b);
    for (const Memory from : every_memory) {
      for (const Memory to : every_memory) {
        Tensor expected = Tensor::empty(shape, DType::float64), out = empty_in(to, shape, DType::float64);
        for (const UnaryOp op : {UnaryOp::neg, UnaryOp::abs, UnaryOp::sign, UnaryOp::sqrt, UnaryOp::rsqrt,
                                 UnaryOp::reciprocal, UnaryOp::square, UnaryOp::relu, UnaryOp::leaky_relu}) {
          ref::unary(op, b, expected, 0.1);
          kernels::unary(op, in(from, b), out, 0.1);
          check_equal(out, expected);
        }
        for (const BinaryOp op :
             {BinaryOp::add, BinaryOp::sub, BinaryOp::mul, BinaryOp::div, BinaryOp::maximum, BinaryOp::minimum,
              BinaryOp::relu_grad, BinaryOp::tanh_grad, BinaryOp::sigmoid_grad, BinaryOp::leaky_relu_grad}) {
          ref::binary(op, a, b, expected, 0.1);
          kernels::binary(op, in(from, a), in(to, b), out, 0.1);
          check_equal(out, expected);
          ref::binary_scalar(op, b, 1.0 / 3, expected);
          kernels::binary_scalar(op, in(from, b), 1.0 / 3, out);
          check_equal(out, expected);
        }
        Tensor greater = Tensor::empty(shape, DType::boolean), chosen = empty_in(to, shape, DType::boolean);
        ref::binary(BinaryOp::gt, a, b, greater);
        kernels::binary(BinaryOp::gt, in(from, a), b, chosen);
        check_equal(chosen, greater);
        ref::where(greater, a, b, expected);
        kernels::where(chosen, in(from, a), b, out);
        check_equal(out, expected);
      }
    }
  }
}

TEST_CASE("clamp and its gradient agree with the reference in every memory order, at the limits and at NaN too") {
  const float special[] = {-0.5f, 0.25f, NAN, INFINITY, -INFINITY};
  for (const DType dtype : {DType::float32, DType::float64}) {
    for (const Shape& shape : elementwise_shapes) {
      Tensor values = random(shape, 8), x = Tensor::empty(shape, dtype), gy = Tensor::empty(shape, dtype);
      ref::copy(values, gy);
      for (int64_t i = 0; i < values.numel(); i += 3) values.data<float>()[i] = special[i / 3 % 5];
      ref::copy(values, x);
      Tensor limited = Tensor::empty(shape, dtype), passed = Tensor::empty(shape, dtype);
      ref::clamp(x, -0.5, 0.25, limited);
      ref::clamp_grad(gy, x, -0.5, 0.25, passed);
      for (const Memory from : every_memory) {
        for (const Memory to : every_memory) {
          Tensor out = empty_in(to, shape, dtype);
          kernels::clamp(in(from, x), -0.5, 0.25, out);
          check_equal(out, limited);
          kernels::clamp_grad(in(to, gy), in(from, x), -0.5, 0.25, out);
          check_equal(out, passed);
        }
      }
    }
  }
}

TEST_CASE("where, axpby, fill and copy agree with the reference in every memory order") {
  for (const Shape& shape : elementwise_shapes) {
    const Tensor x = random(shape, 8), y = random(shape, 9);
    Tensor condition = Tensor::empty(shape, DType::boolean);
    ref::binary_scalar(BinaryOp::gt, random(shape, 10), 0, condition);
    Tensor chosen = Tensor::empty(shape);
    ref::where(condition, x, y, chosen);
    for (const Memory from : every_memory) {
      for (const Memory to : every_memory) {
        Tensor out = empty_in(to, shape);
        kernels::where(in(from, condition), in(to, x), in(from, y), out);
        check_equal(out, chosen);

        Tensor expected = in(Memory::contiguous, y);
        ref::axpby(0.5, x, -1.5, expected);
        Tensor sum = in(to, y);
        kernels::axpby(0.5, in(from, x), -1.5, sum);
        check_within(sum, expected, [](size_t) { return 4 * float_epsilon; });  // |values| < 2, two roundings

        Tensor unset = in(to, Tensor::full(shape, NAN));
        kernels::axpby(2, in(from, x), 0, unset);  // beta 0 ignores what y holds
        ref::axpby(2, x, 0, expected);
        check_equal(unset, expected);

        kernels::copy(in(from, x), out);
        check_equal(out, x);
        kernels::fill(0.1, out);
        check_equal(out, Tensor::full(shape, 0.1f));
      }
    }
  }
}

TEST_CASE("a kernel leaves the gaps of a strided output alone") {
  const Tensor buffer = Tensor::full({40}, 7);
  Tensor every_third(buffer.storage(), 1, {4, 3}, {9, 3}, DType::float32);
  kernels::fill(1, every_third);
  const auto values = bits_of(buffer);
  for (size_t i = 0; i < values.size(); ++i) CHECK(values[i] == ((i % 3 == 1 && i < 37) ? 1 : 7));
}

TEST_CASE("bytes and large transposed images are copied exactly") {
  std::vector<uint8_t> bytes(2 * 3 * 50 * 40);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(i * 7);
  const Tensor image = Tensor::from(bytes, {2, 3, 50, 40});
  for (const Memory memory : every_memory) {
    Tensor out = empty_in(memory, image.shape());
    kernels::copy(image, out);
    check_equal(out, image);
  }
  const Tensor x = random({3, 37, 61, 23}, 11), matrix = random({333, 129}, 12);
  for (const Memory from : every_memory) {
    for (const Memory to : every_memory) {
      Tensor out = empty_in(to, x.shape()), transposed = empty_in(to, matrix.shape());
      kernels::copy(in(from, x), out);
      check_equal(out, x);
      kernels::copy(in(from, matrix), transposed);
      check_equal(transposed, matrix);
    }
  }
}

TEST_CASE("an elementwise kernel may write to its own input") {
  for (const Memory memory : every_memory) {
    const Tensor x = random({3, 70, 5, 4}, 13);
    Tensor expected = Tensor::empty(x.shape()), y = in(memory, x);
    ref::binary(BinaryOp::mul, x, x, expected);
    kernels::binary(BinaryOp::mul, y, y, y);
    check_equal(y, expected);
  }
}

TEST_CASE("results of elementwise kernels depend neither on the number of threads nor on an element's place") {
  const int before = num_threads();
  const Shape shape{5, 24, 41, 37};  // ranges of any split end in the middle of vectors and rows
  const Tensor x = random(shape, 14, -4, 4), row = broadcast_along(random(shape, 15), 0b1101);
  for (const UnaryOp op : {UnaryOp::exp, UnaryOp::tanh, UnaryOp::gelu, UnaryOp::sigmoid, UnaryOp::erf}) {
    set_num_threads(1);
    Tensor alone = Tensor::empty(shape), product = Tensor::empty(shape);
    kernels::unary(op, x, alone);
    kernels::binary(BinaryOp::gelu_grad, x, row, product);
    for (const int threads : {2, 3, 7}) {
      set_num_threads(threads);
      Tensor shared = Tensor::empty(shape), shared_product = Tensor::empty(shape);
      kernels::unary(op, x, shared);
      CHECK(bits_of(shared) == bits_of(alone));
      kernels::binary(BinaryOp::gelu_grad, x, row, shared_product);
      CHECK(bits_of(shared_product) == bits_of(product));
    }
    for (const Memory memory : every_memory) {
      Tensor out = empty_in(memory, shape);
      kernels::unary(op, in(memory, x), out);
      CHECK(bits_of(out) == bits_of(alone));
    }
    Tensor one = Tensor::empty({1});
    for (const int64_t i : {0, 1, 15, 1000, 181999}) {
      kernels::unary(op, Tensor(x.storage(), i, {1}, {1}, DType::float32), one);
      CHECK(bits_of(one)[0] == bits_of(alone)[static_cast<size_t>(i)]);
    }
  }
  set_num_threads(before);
}
