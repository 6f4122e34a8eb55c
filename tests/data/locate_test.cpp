#include "data/locate.h"

#include <doctest/doctest.h>

#include "tests/data/temporary_folder.h"

using namespace gradus;

namespace {

const OpenOptions offline = {.download = false};
const OpenOptions quick = {.download = false, .synthetic_if_absent = true, .synthetic = {.train = 20, .test = 10}};

/// A data set of one image per split, as a tree of image files.
void write_images(const TemporaryFolder& folder, const std::string& name) {
  folder.write(name + "/train/a/1.ppm", "P6 1 1 255\nabc");
  folder.write(name + "/test/a/1.ppm", "P6 1 1 255\nabc");
}

}  // namespace

TEST_CASE("a path is opened by what lies in it") {
  const TemporaryFolder folder;
  const ScopedVariable cache("GRADUS_CACHE", folder / "cache");
  write_images(folder, "tree");
  CHECK(open_dataset(folder / "tree").train.name() == "tree");
  folder.write("batches/test_batch.bin", "short");
  CHECK(contains(error_of([&] { open_dataset(folder / "batches"); }), "test_batch.bin has 5 bytes"));
  folder.write("digits/train-labels-idx1-ubyte", "short");
  CHECK(contains(error_of([&] { open_dataset(folder / "digits"); }), "train-labels-idx1-ubyte has 5 bytes"));
}

TEST_CASE("a path that is missing or holds no data set is an error that says what was expected") {
  const TemporaryFolder folder;
  CHECK(contains(error_of([&] { open_dataset(folder / "nothing"); }), (folder / "nothing") + " does not exist"));
  folder.write("notes/readme.txt", "x");
  const std::string error = error_of([&] { open_dataset(folder / "notes"); });
  CHECK(contains(error, (folder / "notes") + " holds no data set"));
  CHECK(contains(error, "train/CLASS/FILE"));
}

TEST_CASE("a folder with data sets of several kinds is an error that names them; 'auto' wants no digits") {
  const TemporaryFolder folder;
  const ScopedVariable cache("GRADUS_CACHE", folder / "cache"), data("GRADUS_DATA", folder / "all");
  write_images(folder, "all");
  folder.write("all/digits/t10k-images-idx3-ubyte.gz", "short");
  const std::string error = error_of([&] { open_dataset(folder / "all"); });
  CHECK(contains(error, (folder / "all") + " holds several data sets: MNIST (digits/t10k-images-idx3-ubyte.gz), " +
                            "pictures (test/a/1.ppm); name the folder or archive of one"));
  CHECK(open_dataset("auto", offline).train.name() == "all");
  folder.write("all/batches/test_batch.bin", "short");
  CHECK(contains(error_of([&] { open_dataset("auto", offline); }), "CIFAR-10 (batches/test_batch.bin), MNIST ("));
}

TEST_CASE("'synthetic' has as many images as are asked for") {
  const DataSplits splits = open_dataset("synthetic", {.synthetic = {.train = 30, .test = 20}});
  CHECK(splits.train.size() == 30);
  CHECK(splits.test.size() == 20);
}

TEST_CASE("'auto' takes $GRADUS_DATA before the cache folder, the data set itself or a folder that holds it") {
  const TemporaryFolder folder;
  const ScopedVariable cache("GRADUS_CACHE", folder / "cache"), data("GRADUS_DATA", folder / "data");
  CHECK(open_dataset("auto", quick).train.name() == "synthetic");
  for (const char* other : {"cache/cifar-100-png", "cache/CIFAR100"}) write_images(folder, other);
  CHECK(open_dataset("auto", quick).train.name() == "synthetic");
  write_images(folder, "cache/CIFAR10-png");
  CHECK(open_dataset("auto", quick).train.name() == "CIFAR10-png");
  write_images(folder, "data/cifar10-jpeg");
  CHECK(open_dataset("auto", quick).train.name() == "cifar10-jpeg");
  const ScopedVariable itself("GRADUS_DATA", folder / "data/cifar10-jpeg");
  CHECK(open_dataset("auto", quick).train.name() == "cifar10-jpeg");
  folder.write("data/cifar10-jpeg/cifar-10-batches-bin/test_batch.bin", "short");
  CHECK(contains(error_of([&] { open_dataset("auto", quick); }), "test_batch.bin has 5 bytes"));
}

TEST_CASE("'auto' without data, download or substitute is an error that says how to go on") {
  const TemporaryFolder folder;
  const ScopedVariable cache("GRADUS_CACHE", folder / "cache");
  unsetenv("GRADUS_DATA");
  const std::string error = error_of([&] { open_dataset("auto", offline); });
  CHECK(contains(error, "$GRADUS_DATA (not set) nor in " + (folder / "cache")));
  CHECK(contains(error, "--data synthetic"));
}

TEST_CASE("'auto' passes over what is only named like CIFAR-10, and takes the first by name") {
  const TemporaryFolder folder;
  folder.write("CIFAR10.txt", "none");
  folder.write("cifar10-a/notes.txt", "none");
  for (const char* name : {"cifar10-c", "cifar10-b"})
    folder.write(std::string(name) + "/train/" + name + "/0.ppm", "P6 1 1 255\nabc");
  const ScopedVariable data("GRADUS_DATA", folder / ""), cache("GRADUS_CACHE", folder / "cache");
  CHECK(open_dataset("auto").train.info().class_names == std::vector<std::string>{"cifar10-b"});
}

TEST_CASE("'auto' passes over what cannot be read, with a note, where there is another; alone it is an error") {
  const TemporaryFolder folder;
  const ScopedVariable data("GRADUS_DATA", folder / ""), cache("GRADUS_CACHE", folder / "cache");
  folder.write("cifar10-a.tar.gz", "\x1f\x8b cut");
  CHECK(contains(error_of([&] { open_dataset("auto", offline); }), "cifar10-a.tar.gz"));
  write_images(folder, "cifar10-b");
  const DataSplits found = open_dataset("auto", offline);
  CHECK(found.train.name() == "cifar10-b");
  REQUIRE(!found.notes.empty());
  CHECK(contains(found.notes.back(), "passes over what cannot be read: "));
  CHECK(contains(found.notes.back(), "cifar10-a.tar.gz"));
}
