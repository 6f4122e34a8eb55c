#include "data/tensor_loader.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "core/error.h"
#include "core/ops.h"
#include "core/random.h"

using namespace gradus;

namespace {

/// Sample i: its number, and [10 i, 10 i + 1].
struct Samples {
  Tensor number, pair;
  explicit Samples(int64_t count) : number(Tensor::arange(count)), pair(concat({tens(count), tens(count) + 1.0}, 1)) {}
  static Tensor tens(int64_t count) { return unsqueeze(Tensor::arange(count, DType::float32) * 10.0, 1); }
};

using Numbers = std::vector<int64_t>;

/// The numbers of the samples in each batch, whose pairs are the samples' own.
std::vector<Numbers> batches_of(const TensorLoader<2>& loader, int64_t epoch, int64_t first = 0) {
  std::vector<Numbers> all;
  for (const auto& [number, pair] : loader.epoch(epoch, first)) {
    all.push_back(number.to_vector<int64_t>());
    std::vector<float> expected;
    for (int64_t i : all.back()) expected.insert(expected.end(), {10.0f * float(i), 10.0f * float(i) + 1});
    CHECK(pair.shape() == Shape{number.size(0), 2});
    CHECK(pair.to_vector<float>() == expected);
  }
  return all;
}

Numbers joined(const std::vector<Numbers>& batches) {
  Numbers all;
  for (const Numbers& batch : batches) all.insert(all.end(), batch.begin(), batch.end());
  return all;
}

}  // namespace

TEST_CASE("tensors come in batches of the same samples, in a new order in every epoch") {
  const Samples samples(10);
  const TensorLoader loader({samples.number, samples.pair}, {.batch = 4, .seed = 7});
  CHECK(loader.size() == 10);
  CHECK(loader.batches() == 3);
  const auto first = batches_of(loader, 0), second = batches_of(loader, 1);
  REQUIRE(first.size() == 3);
  CHECK(first[0].size() == 4);
  CHECK(first[2].size() == 2);
  Numbers all(10);
  std::iota(all.begin(), all.end(), 0);
  for (Numbers order : {joined(first), joined(second)}) {
    CHECK(order != all);
    std::sort(order.begin(), order.end());
    CHECK(order == all);
  }
  CHECK(first != second);

  // Pure functions of the arguments, a loader of its own or not, from any batch on.
  const TensorLoader again({samples.number, samples.pair}, {.batch = 4, .seed = 7});
  CHECK(batches_of(again, 1) == second);
  CHECK(batches_of(again, 1, 2) == std::vector<Numbers>{second[2]});
  CHECK(batches_of(again, 1, 3).empty());
  CHECK(batches_of(TensorLoader({samples.number, samples.pair}, {.batch = 4, .seed = 8}), 1) != second);
}

TEST_CASE("tensors in their own order, and without the last batch") {
  const Samples samples(10);
  const TensorLoader in_order({samples.number, samples.pair}, {.batch = 4, .shuffle = false});
  CHECK(batches_of(in_order, 5) == std::vector<Numbers>{{0, 1, 2, 3}, {4, 5, 6, 7}, {8, 9}});
  const TensorLoader full({samples.number, samples.pair}, {.batch = 4, .shuffle = false, .drop_last = true});
  CHECK(full.batches() == 2);
  CHECK(batches_of(full, 0) == std::vector<Numbers>{{0, 1, 2, 3}, {4, 5, 6, 7}});
  // One tensor, of one dimension, in one batch.
  const TensorLoader alone({samples.number}, {.batch = 100});
  CHECK(alone.batches() == 1);
  for (auto& [number] : alone.epoch(0)) CHECK(number.shape() == Shape{10});
  // However large.
  const TensorLoader huge({samples.number, samples.pair}, {.batch = INT64_MAX, .shuffle = false});
  REQUIRE(huge.batches() == 1);
  CHECK(batches_of(huge, 0)[0].size() == 10);
  CHECK(TensorLoader({samples.number}, {.batch = INT64_MAX, .drop_last = true}).batches() == 0);
  // A pass goes on without its loader.
  auto epoch = TensorLoader({samples.number, samples.pair}, {.batch = 5}).epoch(0);
  int count = 0;
  for (const auto& [number, pair] : epoch) count += int(number.size(0) + pair.size(0));
  CHECK(count == 20);
}

TEST_CASE("tensors that do not belong together are refused") {
  const Tensor x = Tensor::zeros({4, 2}), y = Tensor::zeros({3});
  CHECK_THROWS_WITH_AS(TensorLoader({x, y}),
                       "[tensor_loader] expects as many samples in every tensor, got [4,2] and [3]", Error);
  CHECK_THROWS_AS(TensorLoader({y, x}), Error);
  CHECK_THROWS_WITH_AS(TensorLoader({Tensor::zeros({})}),
                       "[tensor_loader] expects tensors of samples along dimension 0, got []", Error);
  CHECK_THROWS_WITH_AS(TensorLoader({Tensor::zeros({0, 2})}),
                       "[tensor_loader] expects tensors of samples along dimension 0, got [0,2]", Error);
  CHECK_THROWS_AS(TensorLoader({Tensor()}), Error);
  CHECK_THROWS_WITH_AS(TensorLoader({x}, {.batch = 0}), "[tensor_loader] batch 0: it must be at least 1", Error);
  const TensorLoader loader({x}, {.batch = 2});
  CHECK_THROWS_WITH_AS(
      loader.epoch(-1),
      "[tensor_loader] epoch -1, batch 0 was asked for: epochs begin at 0, and each has batches 0 to 2", Error);
  CHECK_THROWS_AS(loader.epoch(0, 3), Error);
}
