// Reductions of the device in float32 against the reference, which adds in double.
#include "core/error.h"
#include "core/ops.h"
#include "core/parallel.h"
#include "tests/core/cpu_compare.h"

using namespace gradus;
using namespace gradus::testing;

namespace {

const Shape shapes[] = {{1},           {1000},         {200000},   {33, 70}, {3, 5, 1, 9},
                        {4, 96, 7, 6}, {2, 3, 40, 30}, {700, 130}, {2, 9000}};

Shape reduced(Shape shape, uint32_t mask) {
  for (int d = 0; d < shape.rank(); ++d)
    if (mask >> d & 1) shape[d] = 1;
  return shape;
}

/// At most 32 float32 additions in a row before a total goes on in double; one more rounding each for the result and
/// the reference's.
constexpr double sum_bound = 34 * float_epsilon;

}  // namespace

TEST_CASE("sums agree with the reference over every set of dimensions in every memory order") {
  for (const Shape& shape : shapes) {
    const Tensor x = random(shape, 1), magnitudes = absolute(x);
    for (uint32_t mask = 0; mask < (1u << shape.rank()); ++mask) {
      const Shape to = reduced(shape, mask);
      Tensor expected = Tensor::empty(to), magnitude = Tensor::empty(to);
      ref::reduce(ReduceOp::sum, x, expected);
      ref::reduce(ReduceOp::sum, magnitudes, magnitude);
      for (const Memory memory : every_memory) {
        Tensor out = empty_in(memory, to);
        kernels::reduce(ReduceOp::sum, in(memory, x), out);
        check_within(out, expected, [values = elements(magnitude)](size_t i) { return sum_bound * values[i]; });
      }
    }
  }
}

TEST_CASE("maxima and minima are exact over every set of dimensions in every memory order") {
  for (const Shape& shape : shapes) {
    const Tensor x = random(shape, 2);
    for (uint32_t mask = 0; mask < (1u << shape.rank()); ++mask) {
      for (const ReduceOp op : {ReduceOp::max, ReduceOp::min}) {
        Tensor expected = Tensor::empty(reduced(shape, mask));
        ref::reduce(op, x, expected);
        for (const Memory memory : every_memory) {
          Tensor out = empty_in(memory, expected.shape());
          kernels::reduce(op, in(memory, x), out);
          check_equal(out, expected);
        }
      }
    }
  }
}

TEST_CASE("NaN wins maxima and minima wherever it lies, and spoils sums") {
  for (const int64_t place : {0, 1, 63, 64, 500, 998, 999}) {
    const Tensor x = random({1000}, 3);
    x.data<float>()[place] = NAN;
    const Tensor columns(x.storage(), 0, {10, 100}, {100, 1}, DType::float32);
    for (const ReduceOp op : {ReduceOp::sum, ReduceOp::max, ReduceOp::min}) {
      Tensor out = Tensor::empty({1});
      kernels::reduce(op, x, out);
      CHECK(std::isnan(out.item()));
      Tensor expected = Tensor::empty({1, 100}), row = Tensor::empty({1, 100});
      ref::reduce(op, columns, expected);
      kernels::reduce(op, columns, row);
      check_within(row, expected, [](size_t) { return 20 * float_epsilon; });  // sums of 10 values below 1
    }
  }
}

TEST_CASE("short rows have the maximum that long ones have, NaN and infinities among them") {
  for (const int64_t n : {2, 3, 7, 31, 40, 63, 64, 65}) {
    CAPTURE(n);
    const Tensor x = random({37, n}, 7);
    x.data<float>()[3 * n + n / 2] = NAN;
    x.data<float>()[30 * n] = NAN;
    for (int64_t i = 0; i < n; ++i) x.data<float>()[36 * n + i] = x.data<float>()[5 * n + i] = -INFINITY;
    x.data<float>()[6 * n + 1] = INFINITY;
    for (const ReduceOp op : {ReduceOp::max, ReduceOp::min})
      for (const Memory memory : every_memory) {
        Tensor out = empty_in(memory, {37, 1}), expected = Tensor::empty({37, 1});
        kernels::reduce(op, in(memory, x), out);
        ref::reduce(op, x, expected);
        check_equal(out, expected);
      }
  }
}

TEST_CASE("reductions of few elements into many results, and of dimensions in turns, agree with the reference") {
  struct Case {
    Shape shape, to;
  };
  for (const Case& c : {Case{{2, 150000}, {1, 150000}},               // a stretch covers a result
                        Case{{150000, 3}, {150000, 1}},               // so does a short row
                        Case{{3, 5, 7, 2000}, {1, 5, 1, 2000}},       // reduced and kept in turns
                        Case{{3, 5, 7, 200}, {3, 1, 7, 1}},           // the same, the last reduced
                        Case{{2, 3, 70000}, {1, 3, 1}},               // several stretches of several rows
                        Case{{4, 20000, 6}, {4, 1, 6}},               // several stretches of few columns
                        Case{{2, 300, 5, 1000}, {2, 1, 5, 1000}}}) {  // long columns in several stretches
    CAPTURE(c.shape);
    for (const bool swapped : {false, true}) {
      const Tensor plain = random(c.shape, 8), x = swapped ? transpose(plain, 0, 1) : plain;
      Shape to = c.to;
      if (swapped) std::swap(to[0], to[1]);
      for (const ReduceOp op : {ReduceOp::sum, ReduceOp::max, ReduceOp::min}) {
        Tensor expected = Tensor::empty(to), out = empty_in(Memory::padded, to);
        ref::reduce(op, x, expected);
        kernels::reduce(op, x, out);
        const auto terms = static_cast<double>(x.numel() / out.numel());
        check_within(out, expected, [&](size_t) { return op == ReduceOp::sum ? sum_bound * terms : 0; });
      }
    }
  }
}

TEST_CASE("argmax agrees with the reference along every dimension in every memory order and dtype") {
  for (const Shape& shape : {Shape{7, 200}, Shape{1, 1}, Shape{300, 63}, Shape{3, 65, 40}, Shape{2, 21, 9, 11},
                             Shape{5, 1, 300}, Shape{2, 3, 4, 2}, Shape{20, 2500}, Shape{3000}}) {
    CAPTURE(shape);
    for (const bool special : {false, true}) {
      // whole numbers: several elements are the largest
      Tensor x = cast(cast(random(shape, 9, 0, special ? 4000 : 30), DType::int64), DType::float32);
      for (int64_t i = 0; special && i < x.numel(); ++i) {
        float& value = x.data<float>()[i];
        value = value < 3 ? NAN : value < 2000 ? -INFINITY : value > 3900 ? INFINITY : 0.0f * (value - 3000);
      }
      for (int dim = 0; dim < shape.rank(); ++dim) {
        Shape to = shape;
        to[dim] = 1;
        Tensor expected = Tensor::empty(to, DType::int64);
        ref::argmax(x, dim, expected);
        for (const Memory memory : every_memory) {
          Tensor out = empty_in(memory, to, DType::int64);
          kernels::argmax(in(memory, x), dim, out);
          check_equal(out, expected);
        }
        for (const DType dtype : {DType::bfloat16, DType::float64}) {
          Tensor out = Tensor::empty(to, DType::int64);
          kernels::argmax(cast(x, dtype), dim, out);
          if (dtype == DType::float64) check_equal(out, expected);
          Tensor right = Tensor::empty(to, DType::int64);
          ref::argmax(cast(x, dtype), dim, right);
          check_equal(out, right);
        }
      }
    }
  }
}

TEST_CASE("broadcast and empty tensors are reduced") {
  const Tensor row = random({1, 50}, 4);
  const Tensor spread(row.storage(), 0, {30, 50}, {0, 1}, DType::float32);
  Tensor out = Tensor::empty({1, 50}), expected = Tensor::empty({1, 50});
  kernels::reduce(ReduceOp::sum, spread, out);
  ref::reduce(ReduceOp::sum, spread, expected);
  check_within(out, expected, [](size_t) { return 30 * sum_bound; });
  Tensor nothing = Tensor::full({1, 4}, 5);
  kernels::reduce(ReduceOp::sum, Tensor::empty({0, 4}), nothing);
  check_equal(nothing, Tensor::zeros({1, 4}));
}

TEST_CASE("a long sum loses nothing to its length") {
  const Tensor x = Tensor::full({4000000}, 0.1f);
  Tensor out = Tensor::empty({1});
  kernels::reduce(ReduceOp::sum, x, out);
  CHECK(std::abs(out.item() - 4e6 * static_cast<double>(0.1f)) <= sum_bound * 4e5);
}

TEST_CASE("reductions give the same bits for every number of threads") {
  const int before = num_threads();
  const Tensor flat = random({300000}, 5), matrix = random({3000, 100}, 6);
  const Tensor wide = Tensor(flat.storage(), 0, {3, 100000}, {100000, 1}, DType::float32);
  const Tensor thin = Tensor(flat.storage(), 0, {100000, 3}, {3, 1}, DType::float32);
  set_num_threads(1);
  Tensor total = Tensor::empty({1}), columns = Tensor::empty({1, 100}), rows = Tensor::empty({3000, 1});
  Tensor over_few = Tensor::empty({1, 100000}), of_thin = Tensor::empty({100000, 1});
  kernels::reduce(ReduceOp::sum, wide, over_few);
  kernels::reduce(ReduceOp::sum, thin, of_thin);
  kernels::reduce(ReduceOp::sum, flat, total);
  kernels::reduce(ReduceOp::sum, matrix, columns);
  kernels::reduce(ReduceOp::sum, matrix, rows);
  for (const int threads : {2, 3, 5}) {
    set_num_threads(threads);
    Tensor total_again = Tensor::empty({1}), columns_again = Tensor::empty({1, 100}),
           rows_again = Tensor::empty({3000, 1});
    kernels::reduce(ReduceOp::sum, flat, total_again);
    kernels::reduce(ReduceOp::sum, matrix, columns_again);
    kernels::reduce(ReduceOp::sum, matrix, rows_again);
    CHECK(bits_of(total_again) == bits_of(total));
    CHECK(bits_of(columns_again) == bits_of(columns));
    CHECK(bits_of(rows_again) == bits_of(rows));
    Tensor over_few_again = Tensor::empty({1, 100000}), of_thin_again = Tensor::empty({100000, 1});
    kernels::reduce(ReduceOp::sum, wide, over_few_again);
    kernels::reduce(ReduceOp::sum, thin, of_thin_again);
    CHECK(bits_of(over_few_again) == bits_of(over_few));
    CHECK(bits_of(of_thin_again) == bits_of(of_thin));
  }
  set_num_threads(before);
}

TEST_CASE(
    "the gradients before a bias and a relu agree with the reference for every number of channels and memory order") {
  for (const Shape& shape : {Shape{2, 1, 3, 5}, Shape{3, 10, 8, 8}, Shape{1, 16, 1, 1}, Shape{2, 31, 9, 7},
                             Shape{4, 96, 20, 33}, Shape{1, 130, 5, 5}, Shape{2, 1000, 3, 2}}) {
    CAPTURE(shape);
    const Tensor gy = random(shape, 1), y = random(shape, 2);
    const Shape channels{shape[1]};
    Tensor gz = Tensor::empty(shape), gbias = Tensor::empty(channels), magnitude = Tensor::empty(channels);
    Tensor absolute_gz = Tensor::empty(shape);
    ref::bias_relu_backward(gy, y, gz, gbias);
    ref::bias_relu_backward(absolute(gy), y, absolute_gz, magnitude);
    const auto magnitudes = elements(magnitude);
    for (const Memory memory : every_memory) {
      Tensor got = empty_in(memory, shape), got_bias = empty_in(memory, channels);
      kernels::bias_relu_backward(in(memory, gy), in(memory, y), got, got_bias);
      check_equal(got, gz);
      check_within(got_bias, gbias, [&](size_t i) { return sum_bound * magnitudes[i]; });
    }
  }
}

TEST_CASE("the gradients before a bias and a relu take gradients that are the same for many pixels") {
  for (const int64_t channels : {10, 16, 96, 130})
    for (const Shape& few : {Shape{3, channels, 1, 1}, Shape{1, channels, 4, 5}, Shape{1, channels, 1, 1},
                             Shape{3, channels, 4, 1}, Shape{1, 1, 1, 1}}) {
      CAPTURE(few);
      const Shape shape{3, channels, 4, 5};
      const Tensor y = in(Memory::channels_last, random(shape, 2)), spread = expand(random(few, 1), shape);
      Tensor gz = empty_in(Memory::channels_last, shape), gbias = Tensor::empty({channels});
      Tensor right_gz = Tensor::empty(shape), right_gbias = Tensor::empty({channels});
      kernels::bias_relu_backward(spread, y, gz, gbias);
      ref::bias_relu_backward(contiguous(spread), y, right_gz, right_gbias);
      check_equal(gz, right_gz);
      check_within(gbias, right_gbias, [&](size_t) { return sum_bound * 60; });
    }
}

TEST_CASE("means of bfloat16 elements can be float32, and then are not rounded to bfloat16") {
  const Tensor x = cast(random({4, 10, 8, 8}, 1), DType::bfloat16);
  const Tensor got = mean(x, {2, 3}, false, DType::float32), right = mean(cast(x, DType::float32), {2, 3});
  CHECK(got.dtype() == DType::float32);
  check_within(got, right, [&](size_t) { return sum_bound; });
  CHECK(mean(x, {2, 3}).dtype() == DType::bfloat16);
  CHECK_THROWS_AS(mean(x, {2, 3}, false, DType::float64), Error);
}

TEST_CASE("the gradients before a bias and a relu have the same bits for any number of threads") {
  const int before = num_threads();
  const Tensor gy = random({8, 96, 16, 16}, 1), y = random({8, 96, 16, 16}, 2);
  Tensor gz = Tensor::empty(y.shape()), one = Tensor::empty({96}), three = Tensor::empty({96});
  set_num_threads(1);
  kernels::bias_relu_backward(gy, y, gz, one);
  set_num_threads(3);
  kernels::bias_relu_backward(gy, y, gz, three);
  set_num_threads(before);
  CHECK(bits_of(one) == bits_of(three));
}

TEST_CASE("before a relu NaN in the gradient stays where the result was positive and is masked elsewhere") {
  Tensor gz = Tensor::empty({1, 2, 1, 1}), gbias = Tensor::empty({2});
  kernels::bias_relu_backward(Tensor::full({1, 2, 1, 1}, std::nan("")),
                              Tensor::from(std::vector<float>{1, 0}, {1, 2, 1, 1}), gz, gbias);
  CHECK(std::isnan(gbias.to_vector<float>()[0]));
  CHECK(gbias.to_vector<float>()[1] == 0);
}
