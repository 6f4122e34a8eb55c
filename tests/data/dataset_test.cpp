#include "data/dataset.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <set>

#include "tests/data/temporary_folder.h"

using namespace gradus;

namespace {

/// `labels.size()` images of one pixel whose value is the image's number.
Dataset numbered(const std::vector<int32_t>& labels, int classes) {
  DatasetInfo info{.name = "numbered", .channels = 1, .height = 1, .width = 1, .class_names = {}};
  for (int c = 0; c < classes; ++c) info.class_names.push_back(std::string(1, static_cast<char>('a' + c)));
  std::vector<uint8_t> pixels;
  for (size_t i = 0; i < labels.size(); ++i) pixels.push_back(static_cast<uint8_t>(i));
  return Dataset(info, pixels, labels);
}

std::vector<int32_t> cycling(int count, int classes) {
  std::vector<int32_t> labels;
  for (int i = 0; i < count; ++i) labels.push_back(i % classes);
  return labels;
}

}  // namespace

TEST_CASE("a data set gives back the images and labels it was made of") {
  const DatasetInfo info{.name = "two", .channels = 3, .height = 1, .width = 2, .class_names = {"a", "b"}};
  const Dataset data(info, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, {1, 0});
  CHECK(data.size() == 2);
  CHECK(data.num_classes() == 2);
  CHECK(data.image_size() == 6);
  CHECK(data.label(0) == 1);
  CHECK(std::ranges::equal(data.image(1), std::vector<uint8_t>{7, 8, 9, 10, 11, 12}));
}

TEST_CASE("a data set refuses pixels and labels that disagree") {
  const DatasetInfo info{.name = "few", .channels = 1, .height = 2, .width = 2, .class_names = {"a", "b"}};
  CHECK(contains(error_of([&] {
                   Dataset(info, std::vector<uint8_t>(7), {0, 1});
                 }),
                 "8 bytes of pixels, but there are 7"));
  CHECK(contains(error_of([&] { Dataset(info, std::vector<uint8_t>(8), {0, 2}); }), "image 1 has label 2"));
}

TEST_CASE("a data set refuses images without an extent") {
  const DatasetInfo negative{.name = "few", .channels = 1, .height = -1, .width = -1, .class_names = {"a"}},
      none{.name = "few", .channels = 0, .height = 1, .width = 1, .class_names = {"a"}};
  CHECK(contains(error_of([&] { Dataset(negative, {7}, {0}); }),
                 "at least one channel, row and column, got images of 1x-1x-1"));
  CHECK(contains(error_of([&] { Dataset(none, {}, {0}); }), "got images of 0x1x1"));
  const DatasetInfo flat{.name = "few", .channels = 1, .height = 1, .width = 0, .class_names = {"a"}};
  CHECK(contains(error_of([&] { Dataset(flat, {}, {0}); }), "got images of 1x1x0"));
}

TEST_CASE("an image that a data set does not have is named") {
  const Dataset data = numbered({0, 1, 0}, 2);
  CHECK(contains(error_of([&] { data.image(3); }), "[dataset] image 3 was asked of numbered, which has 3"));
  CHECK(contains(error_of([&] { data.image(-1); }), "image -1 was asked"));
  CHECK(contains(error_of([&] { data.label(3); }), "image 3 was asked"));
  CHECK(contains(error_of([&] { Dataset().label(0); }), "image 0 was asked"));
}

TEST_CASE("a subset has equally many images of each class, in their old order, each once") {
  const Dataset data = numbered(cycling(200, 10), 10);
  const Dataset subset = data.class_balanced_subset(50);
  std::map<int64_t, int> per_class;
  for (int64_t i = 0; i < subset.size(); ++i) {
    ++per_class[subset.label(i)];
    CHECK(subset.image(i)[0] % 10 == subset.label(i));
    if (i > 0) CHECK(subset.image(i)[0] > subset.image(i - 1)[0]);
  }
  for (int c = 0; c < 10; ++c) CHECK(per_class[c] == 5);
}

TEST_CASE("a subset is the same in every run, and a smaller one lies within it") {
  const Dataset data = numbered(cycling(200, 10), 10);
  const auto pixels = [&](int64_t count) {
    const Dataset subset = data.class_balanced_subset(count);
    return std::set<int>(subset.pixels().begin(), subset.pixels().end());
  };
  const std::set<int> small = pixels(20), large = pixels(100);
  CHECK(std::ranges::includes(large, small));
  // Written down once: a change here changes what every published number with --train-samples was measured on.
  CHECK(data.class_balanced_subset(20).checksum() == "a746a22ca8b6741bfffee6bed136b760");
}

TEST_CASE("a subset takes more of the other classes where one is too small") {
  std::vector<int32_t> labels(30, 0);
  labels[7] = 1;
  const Dataset subset = numbered(labels, 2).class_balanced_subset(10);
  CHECK(subset.size() == 10);
  CHECK(std::ranges::count(subset.labels(), 1) == 1);
}

TEST_CASE("a subset of nothing or of more than there is, is an error that says what there is") {
  const Dataset data = numbered(cycling(20, 2), 2);
  CHECK(contains(error_of([&] { data.class_balanced_subset(21); }), "21 images was asked of numbered, which has 20"));
  CHECK(contains(error_of([&] { data.class_balanced_subset(0); }), "ask for 1 to 20"));
}

TEST_CASE("the checksum depends on pixels, labels and sizes, not on the name") {
  const DatasetInfo flat{.name = "x", .channels = 1, .height = 1, .width = 4, .class_names = {"a", "b"}};
  DatasetInfo square = flat, renamed = flat;
  square.height = square.width = 2;
  renamed.name = "renamed";
  const std::string sum = Dataset(flat, {1, 2, 3, 4}, {0}).checksum();
  CHECK(Dataset(renamed, {1, 2, 3, 4}, {0}).checksum() == sum);
  CHECK(Dataset(square, {1, 2, 3, 4}, {0}).checksum() != sum);
  CHECK(Dataset(flat, {1, 2, 3, 5}, {0}).checksum() != sum);
  CHECK(Dataset(flat, {1, 2, 3, 4}, {1}).checksum() != sum);
  DatasetInfo many = flat;
  many.class_names.resize(300, "c");
  CHECK(Dataset(many, {1, 2, 3, 4}, {1}).checksum() != Dataset(many, {1, 2, 3, 4}, {257}).checksum());
}
