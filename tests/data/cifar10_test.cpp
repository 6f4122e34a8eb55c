#include "data/cifar10.h"

#include <doctest/doctest.h>

#include <cstdlib>

#include "tests/data/temporary_folder.h"

using namespace gradus;

namespace {

constexpr int64_t record_size = 3073, file_size = 10000 * record_size;

/// All six files of the right size; every byte that is not written here is zero, and takes no room on disk.
void write_batches(const TemporaryFolder& folder) {
  for (const char* name :
       {"data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"}) {
    const std::string path = folder.write("cifar-10-batches-bin/" + std::string(name) + ".bin", "");
    std::filesystem::resize_file(path, static_cast<uintmax_t>(file_size));
  }
}

void poke(const std::string& path, int64_t at, char value) {
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  file.seekp(at);
  file.put(value);
}

}  // namespace

TEST_CASE("records become interleaved pixels and labels, the five files in order, from the folder or its parent") {
  const TemporaryFolder folder;
  write_batches(folder);
  const std::string third = folder / "cifar-10-batches-bin/data_batch_3.bin";
  const int64_t record = 7 * record_size, pixel = 5 * 32 + 6;
  poke(third, record, 9);
  poke(third, record + 1 + pixel, 11);
  poke(third, record + 1 + 1024 + pixel, 22);
  poke(third, record + 1 + 2048 + pixel, 33);
  poke(folder / "cifar-10-batches-bin/test_batch.bin", 9999 * record_size, 4);
  for (const char* place : {"", "cifar-10-batches-bin"}) {
    const DataSplits splits = read_cifar10(folder / place);
    CHECK(splits.train.name() == "CIFAR-10");
    CHECK(splits.train.size() == 50000);
    CHECK(splits.test.size() == 10000);
    CHECK(splits.train.info().class_names[9] == "truck");
    CHECK(splits.train.label(20007) == 9);
    CHECK(splits.train.label(20006) == 0);
    const auto image = splits.train.image(20007);
    CHECK(image[static_cast<size_t>(3 * pixel)] == 11);
    CHECK(image[static_cast<size_t>(3 * pixel + 1)] == 22);
    CHECK(image[static_cast<size_t>(3 * pixel + 2)] == 33);
    CHECK(splits.test.label(9999) == 4);
  }
}

TEST_CASE("a CIFAR-10 archive is read like the folder") {
  const TemporaryFolder folder;
  write_batches(folder);
  poke(folder / "cifar-10-batches-bin/data_batch_5.bin", 0, 6);
  const std::string command = "cd '" + folder.path().string() + "' && tar cf c.tar cifar-10-batches-bin";
  if (std::system(command.c_str()) != 0) {
    MESSAGE("skipped: this machine has no tar");
    return;
  }
  try {
    const auto label = read_cifar10(folder / "c.tar").train.label(40000);
    CHECK(label == 6);
  } catch (const Error& error) {
    if (!contains(error.what(), "-Darchive=enabled")) throw;
    MESSAGE("skipped: built without libarchive");
  }
}

TEST_CASE("a short or long CIFAR-10 file is an error with its name and both sizes") {
  const TemporaryFolder folder;
  folder.write("data_batch_1.bin", std::string(5000, 'x'));
  const std::string error = error_of([&] { read_cifar10(folder / ""); });
  CHECK(contains(error, "data_batch_1.bin has 5000 bytes where 30730000 were expected"));
  folder.write("data_batch_1.bin", std::string(30730001, '\0'));
  CHECK(contains(error_of([&] { read_cifar10(folder / ""); }), "data_batch_1.bin has 30730001 bytes where"));
}

TEST_CASE("a CIFAR-10 label above 9 is an error with the file, the record and the label") {
  const TemporaryFolder folder;
  write_batches(folder);
  poke(folder / "cifar-10-batches-bin/data_batch_2.bin", 123 * record_size, 10);
  const std::string error = error_of([&] { read_cifar10(folder / ""); });
  CHECK(contains(error, "data_batch_2.bin, record 123: label 10 is not in 0..9"));
}

TEST_CASE("the six CIFAR-10 files come from one folder") {
  const TemporaryFolder folder;
  write_batches(folder);
  std::filesystem::create_directory(folder / "a");
  std::filesystem::rename(folder / "cifar-10-batches-bin", folder / "b");
  std::filesystem::rename(folder / "b/data_batch_2.bin", folder / "a/data_batch_2.bin");
  CHECK(contains(error_of([&] { read_cifar10(folder / ""); }),
                 " holds several data sets: CIFAR-10 (a/data_batch_2.bin), CIFAR-10 (b/data_batch_1.bin); name the"));
}

TEST_CASE("a missing CIFAR-10 file is an error with its name") {
  const TemporaryFolder folder;
  write_batches(folder);
  std::filesystem::remove(folder / "cifar-10-batches-bin/data_batch_4.bin");
  CHECK(contains(error_of([&] { read_cifar10(folder / ""); }), "has no data_batch_4.bin"));
}
