#include "core/error.h"
#include "core/ops.h"
#include "tests/core/cpu_compare.h"

using namespace gradus;
using namespace gradus::testing;

namespace {

using Values = std::vector<double>;

}  // namespace

TEST_CASE("in-place operations write through views and bump the version once") {
  Tensor x = counted({2, 3});
  Tensor column = select(x, 1, 1);
  const auto expect = [&](const Values& values, uint64_t versions, uint64_t before) {
    CHECK(elements(x) == values);
    CHECK(x.version() == before + versions);
  };
  uint64_t before = x.version();
  fill_(column, 9);
  expect({0, 9, 2, 3, 9, 5}, 1, before);
  before = x.version();
  copy_(column, Tensor::from<float>({-1, -4}, {2}));
  expect({0, -1, 2, 3, -4, 5}, 1, before);
  before = x.version();
  scale_(column, 2);
  expect({0, -2, 2, 3, -8, 5}, 1, before);
  before = x.version();
  add_(column, Tensor::ones({2}), 3);
  expect({0, 1, 2, 3, -5, 5}, 1, before);
  before = x.version();
  axpby_(2, Tensor::ones({2}), -1, column);
  expect({0, 1, 2, 3, 7, 5}, 1, before);
  before = x.version();
  binary_(BinaryOp::maximum, column, Tensor::full({2}, 4));
  expect({0, 4, 2, 3, 7, 5}, 1, before);
  before = x.version();
  unary_(UnaryOp::neg, column);
  expect({0, -4, 2, 3, -7, 5}, 1, before);
}

TEST_CASE("sources broadcast to what is written") {
  Tensor x = Tensor::zeros({2, 3});
  copy_(x, Tensor::from<float>({1, 2, 3}, {3}));
  CHECK(elements(x) == Values{1, 2, 3, 1, 2, 3});
  add_(x, Tensor::from<float>({10, 20}, {2, 1}));
  CHECK(elements(x) == Values{11, 12, 13, 21, 22, 23});
  binary_(BinaryOp::sub, x, Tensor::full({}, 1));
  CHECK(elements(x) == Values{10, 11, 12, 20, 21, 22});
}

TEST_CASE("a beta of zero ignores what the target holds, NaN included") {
  Tensor y = Tensor::full({3}, std::nan(""));
  axpby_(2, Tensor::ones({3}), 0, y);
  CHECK(elements(y) == Values{2, 2, 2});
}

TEST_CASE("every memory order of source and target gives the same values") {
  for (const DType dtype : {DType::float32, DType::float64})
    for (const Memory left : every_memory)
      for (const Memory right : every_memory) {
        const Tensor x = cast(random({2, 3, 4, 5}, 1), dtype), start = cast(random({2, 3, 4, 5}, 2), dtype);
        Tensor y = in(left, start);
        axpby_(0.5, in(right, x), 2, y);
        check_equal(y, x * 0.5 + start * 2.0);  // powers of two scale exactly, so only one sum is rounded
        copy_(y, in(right, x));
        check_equal(y, x);
        binary_(BinaryOp::mul, y, in(right, start));
        check_equal(y, x * start);
      }
}

TEST_CASE("a source that overlaps the target is read before it is overwritten") {
  Tensor x = counted({5});
  Tensor later = slice(x, 0, 1, 5);
  copy_(later, slice(x, 0, 0, 4));
  CHECK(elements(x) == Values{0, 0, 1, 2, 3});
  Tensor square = counted({2, 2});
  copy_(square, transpose(square, 0, 1));
  CHECK(elements(square) == Values{0, 2, 1, 3});
  add_(square, transpose(square, 0, 1));
  CHECK(elements(square) == Values{0, 3, 3, 6});
  Tensor sums = counted({4});
  add_(sums, select(sums, 0, 3));  // the last element, broadcast over all, itself included
  CHECK(elements(sums) == Values{3, 4, 5, 6});
  Tensor twice = counted({3});
  add_(twice, twice);
  CHECK(elements(twice) == Values{0, 2, 4});
}

TEST_CASE("integers fill, copy and scale; empty tensors do nothing") {
  Tensor x = Tensor::zeros({2}, DType::int64);
  fill_(x, 7);
  scale_(x, -2);
  CHECK(x.to_vector<int64_t>() == std::vector<int64_t>{-14, -14});
  Tensor none = Tensor::zeros({0, 2});
  fill_(none, 1);
  add_(none, Tensor::ones({2}));
  CHECK(none.numel() == 0);
  // A gradient that sum() spreads over no rows repeats none.
  Tensor spread = expand(Tensor::zeros({0, 1}), {0, 3});
  scale_(spread, 2);
  CHECK(spread.numel() == 0);
}

TEST_CASE("in-place operations name what does not fit and leave the target alone") {
  Tensor x = counted({2, 3}), flags = greater(x, 1), undefined;
  Tensor repeated = expand(Tensor::zeros({1, 3}), {2, 3});
  const Values before = elements(x);
  CHECK_THROWS_WITH_AS(
      fill_(repeated, 1),
      "[fill_] cannot write into an expanded tensor: the elements along dimension 0 of [2,3] share memory; "
      "clone it first",
      Error);
  CHECK_THROWS_AS(copy_(repeated, x), Error);
  CHECK_THROWS_AS(add_(repeated, x), Error);
  CHECK_THROWS_AS(scale_(repeated, 2), Error);
  CHECK_THROWS_AS(binary_(BinaryOp::add, repeated, x), Error);
  CHECK_THROWS_AS(unary_(UnaryOp::neg, repeated), Error);
  CHECK_THROWS_WITH_AS(fill_(undefined, 1),
                       "[fill_] the tensor to write is an undefined tensor; a default-constructed Tensor holds nothing",
                       Error);
  CHECK_THROWS_WITH_AS(copy_(x, undefined),
                       "[copy_] the source is an undefined tensor; a default-constructed Tensor holds nothing", Error);
  CHECK_THROWS_WITH_AS(copy_(x, Tensor::zeros({4, 2, 3})),
                       "[copy_] the source [4,2,3] does not broadcast to the [2,3] that is written", Error);
  CHECK_THROWS_AS(copy_(x, Tensor::zeros({4})), Error);
  CHECK_THROWS_AS(copy_(x, Tensor::zeros({3}, DType::float64)), Error);
  CHECK_THROWS_AS(add_(x, Tensor::zeros({3}, DType::float64)), Error);
  Tensor counts = Tensor::zeros({2}, DType::int64);
  CHECK_THROWS_AS(fill_(counts, 0.5), Error);
  CHECK_THROWS_AS(scale_(counts, 0.5), Error);
  CHECK_THROWS_AS(add_(counts, counts, 2), Error);
  add_(counts, Tensor::ones({}, DType::int64));
  CHECK(elements(counts) == std::vector<double>{1, 1});
  CHECK_THROWS_WITH_AS(binary_(BinaryOp::lt, x, x), "[less] gives bool, which cannot be written into float32 in place",
                       Error);
  CHECK_THROWS_AS(scale_(flags, 1), Error);
  CHECK(elements(x) == before);
  CHECK(x.version() == 0);
}
