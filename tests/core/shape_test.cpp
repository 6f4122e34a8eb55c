#include "core/shape.h"

#include <doctest/doctest.h>

#include "core/error.h"
#include "core/tensor.h"

using namespace gradus;

TEST_CASE("dims insert and erase in the middle") {
  Dims d{2, 3, 5};
  d.insert(1, 7);
  CHECK(d == Dims{2, 7, 3, 5});
  d.erase(0);
  CHECK(d == Dims{7, 3, 5});
  CHECK(d.back() == 5);
}

TEST_CASE("a ninth dimension is refused") {
  Dims d = Dims::filled(max_rank, 1);
  CHECK_THROWS_WITH_AS(d.push_back(1), "[shape] a tensor has at most 8 dimensions", Error);
}

TEST_CASE("the number of elements of rank 0 is one and of an empty extent zero") {
  CHECK(numel({}) == 1);
  CHECK(numel({3, 0, 5}) == 0);
  CHECK(numel({3, 4}) == 12);
}

TEST_CASE("the strides of a layout follow from the shape, and channels-last needs four dimensions") {
  CHECK(contiguous_strides({2, 3, 4}) == Strides{12, 4, 1});
  CHECK(channels_last_strides({2, 3, 4, 5}) == Strides{60, 1, 15, 3});
  CHECK_THROWS_WITH_AS(channels_last_strides({2, 3}), "[channels_last] needs 4 dimensions, got [2,3]", Error);
}

TEST_CASE("broadcasting aligns at the right") {
  CHECK(broadcast("add", {4, 1, 3}, {5, 1}) == Shape{4, 5, 3});
  CHECK(broadcast("add", {}, {2, 2}) == Shape{2, 2});
  CHECK(broadcast("add", {0, 3}, {1, 3}) == Shape{0, 3});
  CHECK_THROWS_WITH_AS(broadcast("add", {4, 2}, {3}),
                       "[add] shapes [4,2] and [3] do not broadcast: extents 2 and 3 must be equal or one of them 1",
                       Error);
}

TEST_CASE("negative dimensions count from the end") {
  CHECK(normalize_dim("sum", -1, 3) == 2);
  CHECK_THROWS_WITH_AS(normalize_dim("sum", 3, 3), "[sum] dimension 3 does not exist in a tensor of rank 3", Error);
}
