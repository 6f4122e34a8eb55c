#include "data/mnist.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "data/archive.h"
#include "data/md5.h"
#include "tests/data/temporary_folder.h"

using namespace gradus;

namespace {

std::string big_endian(uint32_t value) {
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(value >> shift);
  return bytes;
}

std::string images(uint32_t count, uint32_t height, uint32_t width, uint32_t magic = 0x803) {
  std::string bytes = big_endian(magic) + big_endian(count) + big_endian(height) + big_endian(width);
  for (uint32_t i = 0; i < count * height * width; ++i) bytes += static_cast<char>(i);
  return bytes;
}

std::string labels(const std::string& values) {
  return big_endian(0x801) + big_endian(static_cast<uint32_t>(values.size())) + values;
}

/// A small whole data set: three training and two test images of 2 x 3 pixels.
void write_all(const TemporaryFolder& folder) {
  folder.write("train-images-idx3-ubyte", images(3, 2, 3));
  folder.write("train-labels-idx1-ubyte", labels(std::string("\x05\x00\x09", 3)));
  folder.write("t10k-images.idx3-ubyte", images(2, 2, 3));  // as some programs unpack it
  folder.write("t10k-labels-idx1-ubyte", labels("\x01\x02"));
}

}  // namespace

TEST_CASE("IDX files become images and labels") {
  const TemporaryFolder folder;
  write_all(folder);
  const DataSplits splits = read_mnist(folder / "");
  CHECK(splits.train.name() == "MNIST");
  CHECK(splits.train.info().channels == 1);
  CHECK(splits.train.info().height == 2);
  CHECK(splits.train.info().width == 3);
  CHECK(std::ranges::equal(splits.train.labels(), std::vector<int32_t>{5, 0, 9}));
  CHECK(std::ranges::equal(splits.train.image(1), std::vector<uint8_t>{6, 7, 8, 9, 10, 11}));
  CHECK(splits.test.size() == 2);
}

TEST_CASE("the lent MNIST is read from its .gz files, and is the original") {
  const std::string folder = shared_data("mnist");
  if (folder.empty()) return;
  try {
    const DataSplits splits = read_mnist(folder);
    // The published files are the header and then exactly these bytes.
    const auto digest = [](const std::string& header, const auto& values) {
      std::string bytes = header;
      for (auto value : values) bytes += static_cast<char>(value);
      return md5_hex(as_bytes(bytes));
    };
    const auto image_header = [](uint32_t count) {
      return big_endian(0x803) + big_endian(count) + big_endian(28) + big_endian(28);
    };
    CHECK(digest(image_header(60000), splits.train.pixels()) == "6bbc9ace898e44ae57da46a324031adb");
    CHECK(digest(image_header(10000), splits.test.pixels()) == "2646ac647ad5339dbf082846283269ea");
    CHECK(digest(big_endian(0x801) + big_endian(60000), splits.train.labels()) == "a25bea736e30d166cdddb491f175f624");
    CHECK(digest(big_endian(0x801) + big_endian(10000), splits.test.labels()) == "27ae3e4e09519cfbb04c329615203637");
  } catch (const Error& error) {
    if (!contains(error.what(), "-Darchive=enabled")) throw;
    MESSAGE("skipped: built without libarchive");
  }
}

TEST_CASE("a damaged IDX file is an error with its name and what is wrong") {
  struct Case {
    const char* file;
    std::string content, message;
  };
  const std::vector<Case> cases = {
      {"train-images-idx3-ubyte", "abc", "train-images-idx3-ubyte has 3 bytes, fewer than its header of 16"},
      {"train-images-idx3-ubyte", images(3, 2, 3, 0x801), "begins with the magic number 2049 where 2051 was expected"},
      {"train-images-idx3-ubyte", images(3, 2, 3) + "x", "has 19 bytes after its header, which announces 18"},
      {"train-images-idx3-ubyte", images(3, 0, 3), "train-images-idx3-ubyte has images of 0x3 pixels"},
      {"train-images-idx3-ubyte", images(3, 2, 0), "train-images-idx3-ubyte has images of 2x0 pixels"},
      {"train-labels-idx1-ubyte", labels("\x05\x01"), "has 3 images, but"},
      {"train-labels-idx1-ubyte", labels("\x05\x01\x0a"), "train-labels-idx1-ubyte, record 2: label 10 is not in 0..9"},
      {"t10k-images.idx3-ubyte", images(2, 3, 2), "differ in size (2x3 and 3x2)"},
      {"t10k-images.idx3-ubyte", big_endian(0x803) + std::string(12, '\xff'), "which announces too many"},
  };
  for (const Case& c : cases) {
    const TemporaryFolder folder;
    write_all(folder);
    folder.write(c.file, c.content);
    const std::string error = error_of([&] { read_mnist(folder / ""); });
    CHECK_MESSAGE(contains(error, c.message), error);
  }
}

TEST_CASE("the four IDX files come from one folder, plain beside .gz or each in a folder of its own name") {
  const TemporaryFolder folder;
  write_all(folder);
  folder.write("t10k-images-idx3-ubyte/t10k-images-idx3-ubyte", images(2, 2, 3));
  folder.write("train-images-idx3-ubyte.gz", "passed over");
  CHECK(read_mnist(folder / "").train.size() == 3);
  folder.write("FashionMNIST/raw/train-images-idx3-ubyte", images(3, 2, 3));
  CHECK(contains(error_of([&] { read_mnist(folder / ""); }),
                 " holds several data sets: MNIST (FashionMNIST/raw/train-images-idx3-ubyte), MNIST ("
                 "t10k-images-idx3-ubyte/t10k-images-idx3-ubyte); name the folder of one"));
}

TEST_CASE("a missing IDX file is an error with its name") {
  const TemporaryFolder folder;
  write_all(folder);
  std::filesystem::remove(folder / "t10k-labels-idx1-ubyte");
  CHECK(contains(error_of([&] { read_mnist(folder / ""); }), "has no t10k-labels-idx1-ubyte"));
}
