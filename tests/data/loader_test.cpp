#include "data/loader.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <thread>

#include "tests/data/batches.h"
#include "tests/data/temporary_folder.h"

using namespace gradus;

namespace {

/// Images of 2 x 3 RGB pixels; every byte of image i is i.
Dataset numbered(int count) {
  const DatasetInfo info{.name = "numbered", .channels = 3, .height = 2, .width = 3, .class_names = {"even", "odd"}};
  std::vector<uint8_t> pixels;
  std::vector<int32_t> labels;
  for (int i = 0; i < count; ++i) {
    pixels.insert(pixels.end(), 18, static_cast<uint8_t>(i));
    labels.push_back(i % 2);
  }
  return Dataset(info, pixels, labels);
}

/// The numbers of the images in the order of an epoch.
std::vector<int> order_of(const Loader& loader, int64_t epoch) {
  std::vector<int> order;
  for (const BatchValues& batch : all_batches(loader, epoch))
    for (size_t i = 0; i < batch.images.size(); i += 18)
      order.push_back(static_cast<int>(batch.images[i] * 255 + 0.5f));
  return order;
}

std::vector<int> sorted(std::vector<int> values) {
  std::sort(values.begin(), values.end());
  return values;
}

std::vector<int> counting(int count) {
  std::vector<int> numbers(static_cast<size_t>(count));
  std::iota(numbers.begin(), numbers.end(), 0);
  return numbers;
}

}  // namespace

TEST_CASE("a batch is float32 NCHW in channels-last memory with int64 labels, standardized") {
  const Loader loader(numbered(4),
                      {.batch = 3, .shuffle = false, .normalization = {.mean = {0, 0.5, 0}, .std = {1, 1, 0.5}}});
  auto epoch = loader.epoch(0);
  const Batch batch = *epoch.next();
  CHECK(batch.images.shape() == Shape{3, 3, 2, 3});
  CHECK(batch.images.dtype() == DType::float32);
  CHECK(batch.images.is_channels_last());
  CHECK(batch.labels.to_vector<int64_t>() == std::vector<int64_t>{0, 1, 0});
  const std::vector<float> values = batch.images.to_vector<float>();
  CHECK(values[2 * 18] == static_cast<float>(2 / 255.0));
  CHECK(values[2 * 18 + 6] == static_cast<float>(2 / 255.0 - 0.5));
  CHECK(values[2 * 18 + 17] == static_cast<float>(4 / 255.0));
  CHECK(epoch.next()->images.shape() == Shape{1, 3, 2, 3});
  CHECK(!epoch.next());
  CHECK(!epoch.next());
}

TEST_CASE("an epoch shows every image once, in an order that seed and epoch alone decide") {
  const Loader loader(numbered(200), {.batch = 16, .seed = 5});
  const std::vector<int> first = order_of(loader, 0), second = order_of(loader, 1);
  CHECK(sorted(first) == counting(200));
  CHECK(sorted(second) == counting(200));
  CHECK(first != counting(200));
  CHECK(first != second);
  CHECK(order_of(Loader(numbered(200), {.batch = 7, .seed = 5}), 0) == first);
  CHECK(order_of(Loader(numbered(200), {.batch = 16, .seed = 6}), 0) != first);
}

TEST_CASE("the order of an epoch never changes between versions") {
  // Written down once: a change here breaks the resumption of every earlier run.
  CHECK(order_of(Loader(numbered(12), {.seed = 1}), 0) == std::vector<int>{4, 6, 7, 8, 5, 1, 2, 9, 3, 10, 0, 11});
}

TEST_CASE("without shuffling images come in the order of the data set") {
  CHECK(order_of(Loader(numbered(50), {.batch = 8, .shuffle = false}), 3) == counting(50));
}

TEST_CASE("batches are the same for any number of workers") {
  const auto batches = [](int workers, int64_t epoch) {
    const UserTransform noise = [](std::span<float> image, const RandomKey& key) {
      image[0] += to_unit_float(philox(key)[0]);
    };
    return all_batches(
        Loader(numbered(203),
               {.batch = 8, .seed = 9, .augment = Augment::standard, .workers = workers, .transform = noise}),
        epoch);
  };
  for (int64_t epoch : {0, 1}) {
    const std::vector<BatchValues> alone = batches(0, epoch);
    CHECK(alone.size() == 26);
    for (int workers : {1, 2, 5}) CHECK(batches(workers, epoch) == alone);
  }
  CHECK(batches(0, 0) != batches(0, 1));
}

TEST_CASE("an image is augmented anew in every epoch, and apart from the others") {
  const DatasetInfo info{.name = "same", .channels = 1, .height = 8, .width = 8, .class_names = {"a"}};
  std::vector<uint8_t> pixels;
  for (int i = 0; i < 16; ++i)
    for (int p = 0; p < 64; ++p) pixels.push_back(static_cast<uint8_t>(p + 1));
  const Loader loader(Dataset(info, pixels, std::vector<int32_t>(16)),
                      {.batch = 16, .shuffle = false, .augment = Augment::standard});
  const std::vector<float> first = all_batches(loader, 0)[0].images, second = all_batches(loader, 1)[0].images;
  int alike = 0, unchanged = 0;
  for (size_t i = 0; i < 16; ++i) {
    if (i > 0 && std::equal(first.begin(), first.begin() + 64, first.begin() + static_cast<std::ptrdiff_t>(64 * i)))
      ++alike;
    const auto at = static_cast<std::ptrdiff_t>(64 * i);
    if (std::equal(first.begin() + at, first.begin() + at + 64, second.begin() + at)) ++unchanged;
  }
  // Each pair of the 162 equally likely results agrees with probability 1/162.
  CHECK(alike < 4);
  CHECK(unchanged < 4);
}

namespace {

/// Images of random bytes.
Dataset random_images(int count, int64_t channels, int64_t height, int64_t width) {
  const DatasetInfo info{
      .name = "random", .channels = channels, .height = height, .width = width, .class_names = {"a", "b", "c"}};
  Generator random(7);
  std::vector<uint8_t> pixels(static_cast<size_t>(count * channels * height * width));
  for (uint8_t& pixel : pixels) pixel = static_cast<uint8_t>(random.below(256));
  std::vector<int32_t> labels;
  for (int i = 0; i < count; ++i) labels.push_back(static_cast<int32_t>(random.below(3)));
  return Dataset(info, pixels, labels);
}

}  // namespace

TEST_CASE("resident images make the bits that the host makes, whatever is asked of them") {
  for (const int64_t channels : {1, 3}) {
    const Dataset data = random_images(45, channels, 7, 10);
    for (const Augment augment : {Augment::none, Augment::standard})
      for (const bool shuffle : {false, true}) {
        LoaderOptions options{.batch = 8,
                              .seed = 3,
                              .shuffle = shuffle,
                              .augment = augment,
                              .normalization = channel_statistics(data),
                              .resident = false};
        const Loader host(data, options);
        options.resident = true;
        const Loader device(data, options);
        const bool changes = all_batches(host, 0) != all_batches(host, 1);
        CHECK(changes == (shuffle || augment == Augment::standard));
        for (const int64_t epoch : {0, 1, 70000}) CHECK(all_batches(device, epoch) == all_batches(host, epoch));
        CHECK(all_batches(device, 2, 4) == all_batches(host, 2, 4));
        options.drop_last = true;
        CHECK(all_batches(Loader(data, options), 1).size() == 5);
      }
  }
  const Loader loader(random_images(5, 3, 4, 4), {.batch = 4, .resident = true});
  auto epoch = loader.epoch(0);
  CHECK(epoch.next()->images.is_channels_last());
  CHECK(epoch.next()->images.shape() == Shape{1, 3, 4, 4});
  CHECK(!epoch.next());
}

TEST_CASE("a transform of one's own draws other numbers than the augmentation before it") {
  const Dataset data = random_images(64, 1, 8, 8);
  std::vector<RandomKey> keys;
  const UserTransform note = [&](std::span<float>, const RandomKey& key) { keys.push_back(key); };
  const LoaderOptions options{.batch = 64, .shuffle = false, .augment = Augment::standard, .transform = note};
  const std::vector<float> made = all_batches(Loader(data, options), 0)[0].images;
  const ImageTransform transform(data.info(), {}, Augment::standard);
  REQUIRE(keys.size() == 64);
  int alike = 0;
  for (size_t i = 0; i < 64; ++i) {
    std::vector<float> image(64);
    transform.apply(data.image(static_cast<int64_t>(i)), keys[i], image.data());
    if (std::equal(image.begin(), image.end(), made.begin() + static_cast<std::ptrdiff_t>(64 * i))) ++alike;
  }
  CHECK(alike < 8);  // of 64 draws with probability 1 / 162: 8 or more come up once in 10^8
}

TEST_CASE("images that only the host can make are not resident") {
  const UserTransform nothing = [](std::span<float>, const RandomKey&) {};
  CHECK(contains(error_of([&] { Loader(numbered(4), {.transform = nothing, .resident = true}); }),
                 "resident images are made on the device, which cannot run a .transform of one's own"));
  class Source : public ImageSource {
   public:
    const DatasetInfo& info() const override { return info_; }
    int64_t size() const override { return 1; }
    int64_t label(int64_t) const override { return 0; }
    bool make(int64_t, const RandomKey&, float*) const override { return true; }

   private:
    DatasetInfo info_{.name = "one", .channels = 1, .height = 1, .width = 1, .class_names = {"a"}};
  };
  CHECK(contains(error_of([] { Loader(std::make_shared<Source>(), {.resident = true}); }),
                 "only a Dataset can be .resident"));
}

TEST_CASE("an epoch can begin at any batch") {
  for (int workers : {0, 2}) {
    const Loader loader(numbered(50), {.batch = 8, .seed = 2, .augment = Augment::standard, .workers = workers});
    const std::vector<BatchValues> all = all_batches(loader, 4);
    for (int64_t first : {1, 6, 7})
      CHECK(all_batches(loader, 4, first) == std::vector<BatchValues>(all.begin() + first, all.end()));
  }
}

TEST_CASE("a batch larger than the data set is the data set") {
  CHECK(Loader(numbered(5), {.batch = std::numeric_limits<int64_t>::max()}).batches() == 1);
}

TEST_CASE("a last batch that is not full can be left out") {
  CHECK(Loader(numbered(50), {.batch = 8}).batches() == 7);
  const Loader loader(numbered(50), {.batch = 8, .workers = 2, .drop_last = true});
  CHECK(loader.batches() == 6);
  CHECK(all_batches(loader, 0).size() == 6);
}

TEST_CASE("what a worker throws reaches the caller, at the batch where it happened, and ends the epoch") {
  for (int workers : {0, 1, 3}) {
    const Loader loader(
        numbered(80),
        {.batch = 8, .shuffle = false, .workers = workers, .transform = [](std::span<float> image, const RandomKey&) {
           if (image[0] > 20.5f / 255) throw std::runtime_error("image 21");
         }});
    auto epoch = loader.epoch(0);
    CHECK(epoch.next());
    CHECK(epoch.next());
    CHECK_THROWS_WITH(epoch.next(), "image 21");
    CHECK(!epoch.next());
  }
}

TEST_CASE("an epoch can be left at any batch") {
  const Loader loader(numbered(200), {.batch = 4, .workers = 3});
  for (int stop = 0; stop < 10; ++stop) {
    int seen = 0;
    for ([[maybe_unused]] const Batch& batch : loader.epoch(0))
      if (++seen > stop) break;
    CHECK(seen == stop + 1);
  }
}

TEST_CASE("an epoch outlives its loader") {
  auto epoch = [] { return Loader(numbered(20), {.batch = 4, .workers = 1}).epoch(0); }();
  int batches = 0;
  while (epoch.next()) ++batches;
  CHECK(batches == 5);
}

TEST_CASE("workers run ahead by two batches each and no more") {
  std::atomic<int> made = 0;
  const Loader loader(numbered(200),
                      {.batch = 4, .workers = 2, .transform = [&](std::span<float>, const RandomKey&) { ++made; }});
  auto epoch = loader.epoch(0);
  for (int taken = 1; taken <= 5; ++taken) {
    epoch.next();
    std::this_thread::sleep_for(std::chrono::milliseconds(10));  // time in which they could go too far
    CHECK(made <= 4 * (taken + 4));
  }
}

TEST_CASE("options that make no sense are refused") {
  CHECK(contains(error_of([] { Loader(numbered(4), {.batch = 0}); }), "batch 0: it must be at least 1"));
  CHECK(contains(error_of([] { Loader(numbered(4), {.workers = -1}); }), "workers -1"));
  CHECK(contains(error_of([] { Loader(numbered(0), {}); }), "the data set 'numbered' has no images"));
  const Loader loader(numbered(4), {.batch = 2});
  CHECK(contains(error_of([&] { loader.epoch(-1); }), "epoch -1"));
  CHECK(contains(error_of([&] { loader.epoch(0, 3); }), "each has batches 0 to 2"));
  CHECK(contains(error_of([] { Loader(std::shared_ptr<const ImageSource>(), {}); }), "a source of images, got a null"));
}

TEST_CASE("an epoch that was moved from says so, and goes on where it was moved to") {
  const Loader loader(numbered(8), {.batch = 4});
  auto epoch = loader.epoch(0);
  epoch.next();
  auto rest = std::move(epoch);
  // NOLINTNEXTLINE(bugprone-use-after-move): that is what is tested
  CHECK(contains(error_of([&] { epoch.next(); }), "[loader] this epoch was moved from"));
  CHECK(rest.next().has_value());
  CHECK_FALSE(rest.next().has_value());
}
