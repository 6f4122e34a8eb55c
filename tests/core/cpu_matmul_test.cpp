// Matrix products of the device in float32 against the reference, on both sides of the border between the small kernel
// and the one for large ones, for every order of the operands' memory.
#include <string_view>

#include "core/parallel.h"
#include "tests/core/cpu_compare.h"

using namespace gradus;
using namespace gradus::testing;

namespace {

struct Size {
  int64_t m, k, n;
};
constexpr Size sizes[] = {{32, 24, 40},  {1, 1, 1},     {6, 16, 32},    {7, 5, 33},    {13, 3, 1},
                          {1, 64, 17},   {5, 1, 70},    {64, 64, 64},   {65, 64, 64},  {1, 300, 1},
                          {2, 257, 3},   {100, 70, 90}, {1, 700, 800},  {600, 700, 1}, {9, 1, 50},
                          {300, 1, 447}, {300, 1, 480}, {150, 600, 40}, {9, 290, 970}};

/// Calls body(a, b) with operands of every size.
template <class Body>
void for_each_size(Body body) {
  for (const Size& s : sizes) {
    CAPTURE(s.m);
    CAPTURE(s.k);
    CAPTURE(s.n);
    body(random({s.m, s.k}, 1), random({s.k, s.n}, 2));
  }
}

/// k products and additions in any order, and three roundings for alpha, beta and the reference's result.
void compare(const Tensor& a, const Tensor& b, double alpha, double beta, Memory left, Memory right, Memory to) {
  const int64_t k = a.size(-1);
  Shape shape = a.shape();
  shape[shape.rank() - 1] = b.size(-1);
  const Tensor start = random(shape, 9);
  Tensor expected = in(Memory::contiguous, start), magnitude = absolute(start), out = in(to, start);
  ref::matmul(a, b, alpha, beta, expected);
  ref::matmul(absolute(a), absolute(b), std::abs(alpha), std::abs(beta), magnitude);
  kernels::matmul(in(left, a), in(right, b), alpha, beta, out);
  check_within(out, expected, [&, values = elements(magnitude)](size_t i) {
    return static_cast<double>(k + 3) * float_epsilon * values[i];
  });
}

Tensor in_dtype(DType dtype, const Tensor& x) {
  Tensor out = Tensor::empty(x.shape(), dtype);
  ref::copy(x, out);
  return out;
}

}  // namespace

TEST_CASE("products agree with the reference for row-major, column-major and gapped matrices") {
  for_each_size([](const Tensor& a, const Tensor& b) {
    for (const Memory left : {Memory::contiguous, Memory::padded, Memory::reversed})
      for (const Memory right : {Memory::contiguous, Memory::padded, Memory::reversed})
        for (const Memory to : {Memory::contiguous, Memory::padded, Memory::reversed}) {
          compare(a, b, 1, 0, left, right, to);
          compare(a, b, -0.5, 2, left, right, to);
        }
  });
}

TEST_CASE("products with squares agree with the reference") {
  for_each_size([](const Tensor& a, const Tensor& b) {
    Tensor expected = Tensor::empty({a.size(0), b.size(1)}), magnitude = Tensor::empty(expected.shape());
    ref::matmul_of_squares(a, b, expected);
    ref::matmul_of_squares(absolute(a), b, magnitude);
    for (const Memory left : {Memory::contiguous, Memory::reversed})
      for (const Memory right : {Memory::contiguous, Memory::padded, Memory::reversed})
        for (const Memory to : {Memory::contiguous, Memory::padded, Memory::reversed}) {
          Tensor out = in(to, expected);
          kernels::fill(NAN, out);
          kernels::matmul_of_squares(in(left, a), in(right, b), out);
          check_within(out, expected, [&, values = elements(magnitude)](size_t i) {
            return static_cast<double>(a.size(1) + 4) * float_epsilon * values[i];
          });
        }
  });
}

TEST_CASE("one row times a matrix has the same bits for every number of threads") {
  const Tensor a = random({1, 700}, 1), b = random({700, 801}, 2);
  const int before = num_threads();
  Tensor one = Tensor::empty({1, 801}), three = Tensor::empty({1, 801});
  for (const Memory memory : {Memory::contiguous, Memory::reversed}) {
    set_num_threads(1);
    kernels::matmul(a, in(memory, b), 1, 0, one);
    set_num_threads(3);
    kernels::matmul(a, in(memory, b), 1, 0, three);
    CHECK(bits_of(one) == bits_of(three));
  }
  set_num_threads(before);
}

TEST_CASE("rows with gaps after them are multiplied in place") {
  const Tensor wide = random({130, 200}, 3), b = random({150, 110}, 4);
  const Tensor a(wide.storage(), 20, {130, 150}, {200, 1}, DType::float32);
  compare(in(Memory::contiguous, a), b, 1, 0, Memory::contiguous, Memory::contiguous, Memory::contiguous);
  Tensor expected = Tensor::empty({130, 110}), out = Tensor::empty({130, 110});
  kernels::matmul(in(Memory::contiguous, a), b, 1, 0, expected);
  kernels::matmul(a, b, 1, 0, out);
  CHECK(bits_of(out) == bits_of(expected));
}

TEST_CASE("batches of products agree with the reference, broadcast ones too") {
  for (const Size& s : {Size{5, 6, 7}, Size{80, 70, 60}}) {
    const Tensor a = random({3, 2, s.m, s.k}, 5), b = random({3, 2, s.k, s.n}, 6);
    for (const Memory left : every_memory)
      for (const Memory right : every_memory) compare(a, b, 1, 0, left, right, Memory::contiguous);
    compare(a, b, 1, 1, Memory::contiguous, Memory::contiguous, Memory::padded);
    const Tensor one = random({s.k, s.n}, 7);
    const Tensor spread(one.storage(), 0, {3, 2, s.k, s.n}, {0, 0, s.n, 1}, DType::float32);
    Tensor expected = Tensor::empty({3, 2, s.m, s.n}), out = Tensor::empty({3, 2, s.m, s.n});
    kernels::matmul(a, in(Memory::contiguous, spread), 1, 0, expected);
    kernels::matmul(a, spread, 1, 0, out);
    CHECK(bits_of(out) == bits_of(expected));
  }
}

TEST_CASE(
    "a product with beta 0 ignores what the output holds, and an empty inner extent gives beta times the output") {
  for (const Size& s : {Size{4, 5, 6}, Size{100, 100, 100}}) {
    Tensor out = Tensor::full({s.m, s.n}, NAN), expected = Tensor::empty({s.m, s.n});
    const Tensor a = random({s.m, s.k}, 1), b = random({s.k, s.n}, 2);
    kernels::matmul(a, b, 1, 0, out);
    kernels::matmul(a, b, 1, 0, expected);
    CHECK(bits_of(out) == bits_of(expected));
  }
  Tensor out = Tensor::full({2, 3}, 3);
  kernels::matmul(Tensor::empty({2, 0}), Tensor::empty({0, 3}), 1, 2, out);
  check_equal(out, Tensor::full({2, 3}, 6));
  Tensor nothing = Tensor::empty({0, 3});
  kernels::matmul(Tensor::empty({0, 4}), Tensor::empty({4, 3}), 1, 0, nothing);
}

TEST_CASE("a product has the same bits for every number of threads, and wherever it lies in a larger one") {
  for (const DType dtype : {DType::float32, DType::float64}) {
    Tensor a = Tensor::empty({300, 200}, dtype), b = Tensor::empty({200, 250}, dtype);
    ref::axpby(1.0 / 3, in_dtype(dtype, random({300, 200}, 1)), 0, a);
    ref::axpby(1.0 / 3, in_dtype(dtype, random({200, 250}, 2)), 0, b);
    const int before = num_threads();
    set_num_threads(1);
    Tensor one = Tensor::empty({300, 250}, dtype);
    kernels::matmul(a, b, 1, 0, one);
    for (const int threads : {2, 3, 7}) {
      set_num_threads(threads);
      Tensor out = Tensor::empty({300, 250}, dtype);
      kernels::matmul(a, b, 1, 0, out);
      CHECK(out.to_bytes() == one.to_bytes());
    }
    set_num_threads(before);
    if (std::string_view(device::name()) != "cpu") continue;  // a library's kernel depends on the shape
    const Tensor rows(a.storage(), 37 * 200, {101, 200}, {200, 1}, dtype);
    const Tensor columns(b.storage(), 19, {200, 77}, {250, 1}, dtype);
    Tensor part = Tensor::empty({101, 77}, dtype);
    kernels::matmul(rows, columns, 1, 0, part);
    const Tensor same(one.storage(), 37 * 250 + 19, {101, 77}, {250, 1}, dtype);
    CHECK(part.to_bytes() == in(Memory::contiguous, same).to_bytes());
  }
}

TEST_CASE("products in float64 agree with the reference, whatever their extents and memory orders") {
  for (const Size& s : {Size{1, 1, 1}, Size{1, 40, 300}, Size{40, 1, 300}, Size{70, 90, 1}, Size{5, 6, 7},
                        Size{33, 29, 31}, Size{150, 70, 400}}) {
    const Tensor a = in_dtype(DType::float64, random({s.m, s.k}, 1)),
                 b = in_dtype(DType::float64, random({s.k, s.n}, 2));
    for (const Memory left : {Memory::contiguous, Memory::padded, Memory::reversed})
      for (const Memory right : {Memory::contiguous, Memory::padded, Memory::reversed})
        for (const Memory to : {Memory::contiguous, Memory::padded, Memory::reversed}) {
          const Tensor start = in_dtype(DType::float64, random({s.m, s.n}, 3));
          Tensor out = in(to, start), expected = in(Memory::contiguous, start);
          ref::matmul(a, b, -0.5, 2, expected);
          kernels::matmul(in(left, a), in(right, b), -0.5, 2, out);
          check_within(out, expected, [&](size_t) { return static_cast<double>(s.k + 3) * 0x1p-52 * (s.k / 2.0 + 2); });
        }
  }
}
