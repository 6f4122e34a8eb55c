#include <limits>

#include "core/error.h"
#include "core/ops.h"
#include "tests/core/cpu_compare.h"

using namespace gradus;
using namespace gradus::testing;

namespace {

using Values = std::vector<double>;

bool shares(const Tensor& a, const Tensor& b) { return a.storage() == b.storage(); }

}  // namespace

TEST_CASE("clone has its own memory in the same order") {
  const Tensor x = in(Memory::channels_last, counted({2, 3, 2, 2}));
  const Tensor copy = clone(x);
  CHECK_FALSE(shares(copy, x));
  CHECK(copy.strides() == x.strides());
  check_equal(copy, x);
}

TEST_CASE("split, chunk and unbind are views, and refuse extents that do not fit") {
  const Tensor x = counted({2, 6});
  const std::vector<Tensor> parts = split(x, {4, 2}, -1);
  CHECK(shares(parts[1], x));
  CHECK(elements(parts[1]) == Values{4, 5, 10, 11});
  CHECK(elements(chunk(x, 3, 1)[1]) == Values{2, 3, 8, 9});
  CHECK(elements(unbind(x, 1)[5]) == Values{5, 11});
  CHECK(unbind(Tensor::zeros({0, 2}), 0).empty());
  CHECK_THROWS_WITH_AS(split(x, {4, 1}, 1), "[split] the 2 extents must add up to 6, that of [2,6] along dimension 1",
                       Error);
  CHECK_THROWS_WITH_AS(split(x, {7, -1}, 1), "[split] extents are not negative, got -1", Error);
  CHECK_THROWS_WITH_AS(split(x, {7, 8}, 1), doctest::Contains("must add up to 6"), Error);
  CHECK_THROWS_WITH_AS(
      chunk(x, 4, 1),
      "[chunk] cannot cut the extent 6 along dimension 1 of [2,6] into 4 equal parts; split() takes unequal ones",
      Error);
  CHECK_THROWS_WITH_AS(unbind(Tensor::zeros({}), 0), doctest::Contains("[unbind]"), Error);
}

TEST_CASE("contiguous copies only where the layout differs") {
  const Tensor x = counted({2, 3, 2, 2});
  CHECK(shares(contiguous(x), x));
  const Tensor last = contiguous(x, Layout::channels_last);
  CHECK(last.is_channels_last());
  CHECK_FALSE(shares(last, x));
  CHECK(shares(contiguous(last, Layout::channels_last), last));
  check_equal(contiguous(last), x);
  CHECK_THROWS_WITH_AS(contiguous(counted({4}), Layout::channels_last),
                       "[contiguous] a channels-last tensor needs 4 dimensions [N,C,H,W], got [4]", Error);
}

TEST_CASE("cast converts between every pair of dtypes") {
  const DType all[] = {DType::float32, DType::float64, DType::int32,   DType::int64,
                       DType::uint8,   DType::boolean, DType::bfloat16};
  const Values small = {0, 1};  // what every dtype holds
  for (const DType from : all)
    for (const DType to : all) {
      CAPTURE(name(from));
      CAPTURE(name(to));
      const Tensor x = cast(Tensor::from(small, {2}), from);
      CHECK(cast(x, to).dtype() == to);
      CHECK(elements(cast(x, to)) == small);
    }
  const Tensor same = counted({2});
  CHECK(shares(cast(same, DType::float32), same));
}

TEST_CASE("cast truncates, saturates, and makes NaN zero") {
  const Tensor x = Tensor::from<double>({-1.9, 1.9, 1e300, -1e300, std::nan("")}, {5});
  CHECK(cast(x, DType::int32).to_vector<int32_t>() == std::vector<int32_t>{-1, 1, INT32_MAX, INT32_MIN, 0});
  CHECK(cast(x, DType::int64).to_vector<int64_t>() == std::vector<int64_t>{-1, 1, INT64_MAX, INT64_MIN, 0});
  CHECK(cast(x, DType::uint8).to_vector<uint8_t>() == std::vector<uint8_t>{0, 1, 255, 0, 0});
  CHECK(elements(cast(Tensor::from<float>({0, 0.25f, -3}, {3}), DType::boolean)) == Values{0, 1, 1});
  CHECK(cast(Tensor::full({1}, 1.00390625), DType::bfloat16).item() == 1);         // a tie goes to even
  CHECK(cast(Tensor::full({1}, 1.01171875), DType::bfloat16).item() == 1.015625);  // up to even
}

TEST_CASE("reshape is a view wherever strides allow it") {
  const Tensor x = counted({2, 3, 4});
  const Tensor y = reshape(x, {4, -1});
  CHECK(y.shape() == Shape{4, 6});
  CHECK(shares(y, x));
  CHECK(shares(reshape(x, {2, 1, 12, 1}), x));
  CHECK(shares(reshape(slice(x, 1, 0, 2), {2, 8}), x));  // the rows that are left touch each other
  CHECK(shares(reshape(slice(x, 2, 0, 2), {6, 2}), x));  // a constant gap between rows
  CHECK_FALSE(shares(reshape(slice(x, 1, 0, 2), {16}), x));
  CHECK_FALSE(shares(reshape(transpose(x, 0, 2), {24}), x));
}

TEST_CASE("reshape keeps row-major order for views and copies of any strides") {
  const Values order = elements(Tensor::arange(120, DType::float32));
  const Shape shapes[] = {{120}, {2, 60}, {6, 20}, {2, 3, 20}, {24, 5}, {1, 2, 1, 3, 4, 5, 1}, {5, 4, 3, 2}, {8, 15}};
  for (const Memory memory : every_memory)
    for (const Shape& shape : shapes) {
      const Tensor y = reshape(in(memory, counted({2, 3, 4, 5})), shape);
      CHECK(y.shape() == shape);
      CHECK(elements(y) == order);
    }
  // Through every slice of a padded tensor as well, against reading it out.
  const Tensor x = counted({4, 5, 6});
  for (int d = 0; d < 3; ++d)
    for (int64_t step = 1; step < 3; ++step) {
      const Tensor part = slice(x, d, 1, 5, step);
      CHECK(elements(reshape(part, {-1})) == elements(part));
      CHECK(elements(reshape(part, {part.size(0), -1})) == elements(part));
      CHECK(elements(reshape(part, {-1, part.size(2)})) == elements(part));
    }
  const Tensor repeated = expand(counted({1, 3, 1}), {2, 3, 2});
  CHECK(elements(reshape(repeated, {12})) == Values{0, 0, 1, 1, 2, 2, 0, 0, 1, 1, 2, 2});
  CHECK(elements(reshape(repeated, {6, 2})) == elements(repeated));
}

TEST_CASE("scalars and empty tensors reshape") {
  CHECK(reshape(Tensor::ones({1, 1}), {}).rank() == 0);
  CHECK(reshape(Tensor::ones({}), {1, 1}).shape() == Shape{1, 1});
  CHECK(reshape(Tensor::zeros({0, 3}), {3, 0}).shape() == Shape{3, 0});
  CHECK(reshape(Tensor::zeros({0, 3}), {-1, 3}).shape() == Shape{0, 3});
}

TEST_CASE("reshape says why it cannot") {
  const Tensor x = counted({2, 3});
  CHECK_THROWS_WITH_AS(reshape(x, {4, 2}), "[reshape] [4,2] has 8 elements, but [2,3] has 6", Error);
  CHECK_THROWS_WITH_AS(reshape(x, {-1, -1}), "[reshape] only one extent may be -1, got [-1,-1]", Error);
  CHECK_THROWS_WITH_AS(reshape(x, {-2, 3}), "[reshape] extents are not negative, got [-2,3]", Error);
  CHECK_THROWS_WITH_AS(reshape(x, {-1, 4}), "[reshape] cannot infer the -1 of [-1,4] from [2,3], which has 6 elements",
                       Error);
  CHECK_THROWS_AS(reshape(Tensor::zeros({0}), {-1, 0}), Error);
}

TEST_CASE("flatten merges trailing dimensions") {
  CHECK(flatten(counted({2, 3, 4})).shape() == Shape{24});
  CHECK(flatten(counted({2, 3, 4}), 1).shape() == Shape{2, 12});
  CHECK(flatten(counted({2, 3, 4}), -1).shape() == Shape{2, 3, 4});
  CHECK(flatten(Tensor::ones({})).shape() == Shape{1});
  CHECK_THROWS_AS(flatten(counted({2}), 1), Error);
}

TEST_CASE("transpose and permute reorder dimensions without copying") {
  const Tensor x = counted({2, 3});
  CHECK(elements(transpose(x, 0, 1)) == Values{0, 3, 1, 4, 2, 5});
  CHECK(shares(transpose(x, 0, -1), x));
  const Tensor y = permute(counted({2, 3, 4}), {2, 0, -2});
  CHECK(y.shape() == Shape{4, 2, 3});
  CHECK(elements(select(y, 0, 1)) == Values{1, 5, 9, 13, 17, 21});
  CHECK_THROWS_WITH_AS(permute(x, {0}), "[permute] order [0] needs one entry for each dimension of [2,3]", Error);
  CHECK_THROWS_WITH_AS(permute(x, {1, -1}), "[permute] order [1,-1] names dimension 1 twice", Error);
  CHECK_THROWS_AS(transpose(x, 0, 2), Error);
}

TEST_CASE("slice takes ranges with steps, from either end") {
  const Tensor x = counted({10});
  CHECK(elements(slice(x, 0, 2, 5)) == Values{2, 3, 4});
  CHECK(elements(slice(x, 0, 1, 99, 4)) == Values{1, 5, 9});
  CHECK(elements(slice(x, 0, -3, -1)) == Values{7, 8});
  CHECK(slice(x, 0, 5, 5).shape() == Shape{0});
  CHECK(slice(x, 0, 8, 3).shape() == Shape{0});
  CHECK(slice(x, 0, 10, 10).shape() == Shape{0});
  CHECK(elements(slice(slice(counted({3, 4}), 0, 1, 3), 1, 1, 4, 2)) == Values{5, 7, 9, 11});
  CHECK_THROWS_WITH_AS(slice(x, 0, 0, 5, 0), "[slice] step must be at least 1, got 0", Error);
  CHECK_THROWS_WITH_AS(slice(x, 0, 11, 12), "[slice] [11, 12) lies outside dimension 0 of [10]", Error);
  CHECK_THROWS_AS(slice(x, 0, -11, 3), Error);
}

TEST_CASE("select, squeeze and unsqueeze drop and add dimensions") {
  const Tensor x = counted({2, 3});
  CHECK(elements(select(x, 1, -1)) == Values{2, 5});
  CHECK(select(x, 0, 1).shape() == Shape{3});
  CHECK(unsqueeze(x, 1).shape() == Shape{2, 1, 3});
  CHECK(unsqueeze(x, 1).strides() == Strides{3, 3, 1});
  CHECK(unsqueeze(x, -1).shape() == Shape{2, 3, 1});
  CHECK(unsqueeze(Tensor::ones({}), 0).shape() == Shape{1});
  CHECK(squeeze(unsqueeze(x, 0), 0).shape() == Shape{2, 3});
  CHECK(shares(squeeze(unsqueeze(x, 0), 0), x));
  CHECK(unsqueeze(x, 0).is_contiguous());
  CHECK_THROWS_WITH_AS(select(x, 1, 3), "[select] position 3 lies outside dimension 1 of [2,3]", Error);
  CHECK_THROWS_WITH_AS(squeeze(x, 0), "[squeeze] dimension 0 of [2,3] needs extent 1; select() takes one of several",
                       Error);
}

TEST_CASE("expand repeats without copying") {
  const Tensor x = counted({2, 1});
  const Tensor y = expand(x, {3, 2, 2});
  CHECK(shares(y, x));
  CHECK(y.strides() == Strides{0, 1, 0});
  CHECK(elements(y) == Values{0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1});
  CHECK(expand(x, {2, 0}).numel() == 0);
  CHECK_THROWS_WITH_AS(
      expand(x, {3, 2}),
      "[expand] [2,1] cannot be expanded to [3,2]; aligned at the right, extents must be equal or 1 in the "
      "source",
      Error);
  CHECK_THROWS_AS(expand(x, {1}), Error);
  CHECK_THROWS_AS(expand(x, {-1, 2, 1}), Error);
}

TEST_CASE("concat joins parts of any strides and keeps channels-last") {
  const Tensor x = counted({2, 2}), y = transpose(counted({2, 2}), 0, 1);
  const std::vector<Tensor> parts = {x, y};
  CHECK(elements(concat(parts, 0)) == Values{0, 1, 2, 3, 0, 2, 1, 3});
  CHECK(elements(concat(parts, -1)) == Values{0, 1, 0, 2, 2, 3, 1, 3});
  CHECK(elements(concat({parts[0], parts[1]}, -1)) == elements(concat(parts, -1)));
  CHECK(elements(stack({parts[0], parts[1]}, 0)) == elements(stack(parts, 0)));
  const std::vector<Tensor> with_empty = {Tensor::zeros({2, 0}), x};
  CHECK(elements(concat(with_empty, 1)) == elements(x));
  const Tensor last = in(Memory::channels_last, counted({2, 3, 2, 2}));
  const std::vector<Tensor> images = {last, counted({2, 1, 2, 2})};
  const Tensor joined = concat(images, 1);
  CHECK(joined.is_channels_last());
  check_equal(slice(joined, 1, 0, 3), last);
  check_equal(slice(joined, 1, 3, 4), counted({2, 1, 2, 2}));
}

TEST_CASE("concat and stack name the part that does not fit") {
  const std::vector<Tensor> ragged = {counted({2, 2}), counted({3, 2})};
  CHECK_THROWS_WITH_AS(concat(ragged, 1),
                       "[concat] parts must agree except along dimension 1, but part 1 is [3,2] and part 0 is [2,2]",
                       Error);
  CHECK_THROWS_WITH_AS(concat({}, 0), "[concat] needs at least one tensor", Error);
  CHECK_THROWS_WITH_AS(stack({}, 0), "[stack] needs at least one tensor", Error);
  CHECK_THROWS_WITH_AS(stack(ragged, 0), "[stack] every part needs shape [2,2], got [3,2]", Error);
  const std::vector<Tensor> mixed = {counted({2}), counted({2}, DType::int32)};
  CHECK_THROWS_AS(concat(mixed, 0), Error);
  const std::vector<Tensor> ranks = {counted({2}), counted({2, 1})};
  CHECK_THROWS_AS(concat(ranks, 0), Error);
}

TEST_CASE("stack adds a dimension") {
  const std::vector<Tensor> parts = {counted({2}), counted({2}) + 10.0};
  CHECK(elements(stack(parts, 0)) == Values{0, 1, 10, 11});
  const Tensor columns = stack(parts, -1);
  CHECK(columns.shape() == Shape{2, 2});
  CHECK(elements(columns) == Values{0, 10, 1, 11});
}

TEST_CASE("pad surrounds the source with a value") {
  const Tensor y = pad(counted({1, 2}), {1, 0}, {0, 1}, 9);
  CHECK(y.shape() == Shape{2, 3});
  CHECK(elements(y) == Values{9, 9, 9, 0, 1, 9});
  CHECK(pad(in(Memory::channels_last, counted({1, 2, 2, 2})), {0, 0, 1, 1}, {0, 0, 1, 1}).is_channels_last());
  CHECK(elements(pad(Tensor::zeros({0}), {1}, {1}, 2)) == Values{2, 2});
  CHECK_THROWS_WITH_AS(pad(counted({2}), {1, 1}, {1}),
                       "[pad] before [1,1] and after [1] need one entry for each dimension of [2]", Error);
  CHECK_THROWS_WITH_AS(pad(counted({2}), {-1}, {0}),
                       "[pad] before [-1] and after [0] must not be negative; slice() removes elements", Error);
  CHECK_THROWS_AS(pad(counted({2}, DType::int32), {1}, {0}, 0.5), Error);
}

TEST_CASE("views and pads whose sizes overflow are refused") {
  constexpr int64_t large = int64_t{1} << 40, most = std::numeric_limits<int64_t>::max();
  CHECK_THROWS_WITH_AS(expand(Tensor::zeros({}), {large, large}),
                       "[expand] no memory can hold float32 elements of shape [1099511627776,1099511627776]: their "
                       "bytes do not even fit into 63 bits",
                       Error);
  CHECK_THROWS_AS(reshape(Tensor::zeros({0}), {int64_t{1} << 32, int64_t{1} << 32}), Error);
  CHECK_THROWS_AS(reshape(Tensor::zeros({4}), {-1, int64_t{1} << 32, int64_t{1} << 32}), Error);
  CHECK_THROWS_AS(pad(Tensor::zeros({2}), {most}, {most}), Error);
  CHECK(expand(Tensor::zeros({}), {large, 2}).numel() == 2 * large);
  const std::vector<Tensor> parts(16, expand(Tensor::zeros({}, DType::uint8), {int64_t{1} << 60}));
  CHECK_THROWS_AS(concat(parts, 0), Error);
  const Tensor x = Tensor::arange(5);
  CHECK(slice(x, 0, 1, most, most).to_vector<int64_t>() == std::vector<int64_t>{1});
  CHECK(slice(x, 0, 0, most, 2).to_vector<int64_t>() == std::vector<int64_t>{0, 2, 4});
}
