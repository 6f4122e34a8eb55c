#include "data/image_folder.h"

#include <doctest/doctest.h>

#include <sys/stat.h>
#include <unistd.h>
#include <algorithm>

#include "data/cache.h"
#include "data/file_source.h"
#include "data/image.h"
#include "data/photo_set.h"
#include "tests/data/temporary_folder.h"

using namespace gradus;

namespace {

/// A PPM (or PGM, of one channel) whose every byte is `value`.
std::string picture(int64_t height, int64_t width, int64_t channels, char value) {
  return text(channels == 1 ? "P5 " : "P6 ", width, " ", height, " 255\n") +
         std::string(static_cast<size_t>(height * width * channels), value);
}

/// Two classes, three training images and one for the test, with things beside them that are no images.
void write_small_tree(const TemporaryFolder& folder) {
  folder.write("tree/train/dog/b.ppm", picture(2, 3, 3, 20));
  folder.write("tree/train/dog/a.ppm", picture(2, 3, 3, 10));
  folder.write("tree/train/cat/deep/z.ppm", picture(2, 3, 3, 30));
  folder.write("tree/train/cat/notes.txt", "none");
  folder.write("tree/readme.png", "none");
  folder.write("tree/val/dog/c.ppm", picture(2, 3, 3, 40));
}

DataSplits read(const TemporaryFolder& folder, ImageFolderOptions options = {}) {
  options.cache = false;
  return read_image_folder(folder / "tree", options);
}

}  // namespace

TEST_CASE("classes are sorted folder names, and files are sorted within them") {
  const TemporaryFolder folder;
  write_small_tree(folder);
  const DataSplits splits = read(folder);
  CHECK(splits.train.name() == "tree");
  CHECK(splits.train.info().class_names == std::vector<std::string>{"cat", "dog"});
  CHECK(std::ranges::equal(splits.train.labels(), std::vector<int32_t>{0, 1, 1}));
  CHECK(splits.train.image(0)[0] == 30);
  CHECK(splits.train.image(1)[0] == 10);
  CHECK(splits.train.image(2)[0] == 20);
  CHECK(splits.test.size() == 1);
  CHECK(splits.test.label(0) == 1);
}

TEST_CASE("a test folder goes before a val folder, and neither need be there") {
  const TemporaryFolder folder;
  write_small_tree(folder);
  folder.write("tree/test/cat/t.ppm", picture(2, 3, 3, 50));
  CHECK(read(folder).test.image(0)[0] == 50);
  std::filesystem::remove_all(folder / "tree/test");
  std::filesystem::remove_all(folder / "tree/val");
  CHECK(read(folder).test.size() == 0);
}

TEST_CASE("images that differ in channels or size are an error with both names") {
  const TemporaryFolder folder;
  write_small_tree(folder);
  folder.write("tree/train/dog/gray.ppm", picture(2, 3, 1, 1));
  std::string error = error_of([&] { read(folder); });
  CHECK(contains(error, folder / "tree/train/dog/gray.ppm has 1 channels, but "));
  CHECK(contains(error, "cat/deep/z.ppm has 3"));
  folder.write("tree/train/dog/gray.ppm", picture(3, 3, 3, 1));
  error = error_of([&] { read(folder); });
  CHECK(contains(error, "gray.ppm is 3x3, but "));
  CHECK(contains(error, "z.ppm is 2x3"));
  folder.write("tree/train/dog/gray.ppm", picture(2, 4, 3, 1));
  CHECK(contains(error_of([&] { read(folder); }), "gray.ppm is 2x4, but "));
}

TEST_CASE("channels and sizes can be converted instead") {
  const TemporaryFolder folder;
  write_small_tree(folder);
  folder.write("tree/train/dog/gray.ppm", picture(9, 5, 1, 77));
  const DataSplits splits = read(folder, {.channels = 3, .side = 4});
  CHECK(splits.train.info().height == 4);
  CHECK(splits.train.info().width == 4);
  CHECK(std::ranges::count(splits.train.image(3), 77) == 48);
}

TEST_CASE("the middle of the longer side is kept") {
  const TemporaryFolder folder;
  folder.write("tree/train/a/wide.pgm", std::string("P5 6 2 255\n") + "\1\1\2\2\3\3" + "\1\1\2\2\3\3");
  const DataSplits splits = read(folder, {.side = 2});
  CHECK(std::ranges::equal(splits.train.image(0), std::vector<uint8_t>{2, 2, 2, 2}));
  const TemporaryFolder tall;
  tall.write("tree/train/a/tall.pgm", std::string("P5 2 6 255\n") + "\1\1\1\1\2\2\2\2\3\3\3\3");
  CHECK(std::ranges::equal(read(tall, {.side = 2}).train.image(0), std::vector<uint8_t>{2, 2, 2, 2}));
  CHECK(contains(error_of([&] { read(tall, {.side = -1}); }), "side -1 were asked for"));
}

TEST_CASE("a file that is no image, and a class that train has not, are errors with the file's name") {
  const TemporaryFolder folder;
  write_small_tree(folder);
  folder.write("tree/train/dog/c.png", "not a png");
  CHECK(contains(error_of([&] { read(folder); }), "train/dog/c.png is not a PNG, JPEG, BMP or PPM image"));
  std::filesystem::remove(folder / "tree/train/dog/c.png");
  folder.write("tree/val/horse/h.ppm", picture(2, 3, 3, 1));
  CHECK(contains(error_of([&] { read(folder); }), "val/horse/h.ppm is of class 'horse'"));
  std::filesystem::remove_all(folder / "tree/val/horse");
  folder.write("tree/val/cow/c.ppm", picture(2, 3, 3, 1));  // between the two that there are
  CHECK(contains(error_of([&] { read(folder); }), "val/cow/c.ppm is of class 'cow'"));
}

TEST_CASE("pictures in formats that are not read are counted by class, and a class of nothing else is an error") {
  const TemporaryFolder folder;
  const ScopedVariable cache("GRADUS_CACHE", folder / "cache");
  write_small_tree(folder);
  for (const char* name : {"train/dog/1.webp", "train/dog/2.GIF", "train/cat/deep/3.avif", "readme.gif"})
    folder.write(text("tree/", name), "x");
  const std::string note = "3 pictures in " + (folder / "tree") +
                           " are in a format that is not read, and left out: train/cat (1), train/dog (2); convert "
                           "them to PNG or JPEG";
  for (int start = 0; start < 2; ++start) {  // from the files, and from the cache
    CHECK(read_image_folder(folder / "tree").notes == std::vector<std::string>{note});
    CHECK(read_photo_folder(folder / "tree", {.pack = 2}).notes == std::vector<std::string>{note});
  }
  CHECK(read(folder).train.size() == 3);
  folder.write("tree/train/fox/f.HEIC", "x");
  const std::string all = "all pictures of train/fox are in a format that is not read, as " +
                          (folder / "tree/train/fox/f.HEIC") + " is: convert them to PNG or JPEG";
  CHECK(contains(error_of([&] { read(folder); }), all));
  CHECK(contains(error_of([&] { read_photo_folder(folder / "tree"); }), all));
  CHECK(contains(error_of([&] { read_photo_folder(folder / "tree/train"); }), "all pictures of fox are in a format"));
}

TEST_CASE("two trees beside each other do not become one data set") {
  const TemporaryFolder folder;
  for (const char* top : {"flowers", "pets"}) folder.write(text("tree/", top, "/train/a/1.ppm"), picture(2, 3, 3, 1));
  CHECK(
      contains(error_of([&] { read(folder); }),
               " holds several data sets: pictures (flowers/train/a/1.ppm), pictures (pets/train/a/1.ppm); name the "));
  std::filesystem::remove_all(folder / "tree/pets");
  CHECK(read(folder).train.size() == 1);
}

TEST_CASE("a folder without training images is an error that says where they belong") {
  const TemporaryFolder folder;
  folder.write("tree/train/a.ppm", picture(2, 2, 3, 1));  // in no class
  CHECK(contains(error_of([&] { read(folder); }), "has no image at train/CLASS/FILE"));
}

TEST_CASE("images are kept packed, found again, and decoded anew once a file changes or the packed ones are damaged") {
  const TemporaryFolder folder;
  write_small_tree(folder);
  const ScopedVariable cache("GRADUS_CACHE", folder / "cache");
  const auto read_cached = [&] { return read_image_folder(folder / "tree"); };
  const auto packed = [&] { return std::filesystem::directory_iterator(folder / "cache")->path().string(); };
  const std::string checksum = read_cached().train.checksum();
  CHECK(read_cached().notes.empty());

  // That the packed copy is what is read shows when it is replaced by a valid one of something else.
  DataSplits other = read_cached();
  const std::string key = FileSource(folder / "tree").fingerprint();
  other.train = other.train.class_balanced_subset(2);
  write_packed(packed(), key, other);
  CHECK(read_cached().train.size() == 2);
  CHECK(read_cached().train.info().class_names == std::vector<std::string>{"cat", "dog"});
  CHECK(read_cached().test.checksum() == other.test.checksum());

  const std::string bytes = read_file(packed());
  for (size_t at : {size_t{0}, size_t{17}, size_t{40}, bytes.size() / 2, bytes.size() - 1}) {
    std::string damaged = bytes;
    damaged[at] = static_cast<char>(damaged[at] ^ 4);
    std::ofstream(packed(), std::ios::binary) << damaged;
    CHECK_MESSAGE(read_cached().train.checksum() == checksum, "byte ", at);
    for (const std::string& cut : {bytes.substr(0, at), bytes + "x"}) {
      std::ofstream(packed(), std::ios::binary) << cut;
      CHECK_MESSAGE(read_cached().train.checksum() == checksum, "length ", cut.size());
    }
  }
  folder.write("tree/train/dog/new.ppm", picture(2, 3, 3, 60));
  CHECK(read_cached().train.size() == 4);
}

TEST_CASE("a cache folder that cannot be written costs a note, not the data") {
  const TemporaryFolder folder;
  write_small_tree(folder);
  const ScopedVariable cache("GRADUS_CACHE", folder.write("file", "in the way") + "/cache");
  const DataSplits splits = read_image_folder(folder / "tree");
  CHECK(splits.train.size() == 3);
  REQUIRE(splits.notes.size() == 1);
  CHECK(contains(splits.notes[0], "could not be kept"));
  CHECK(contains(splits.notes[0], "GRADUS_CACHE"));
}

TEST_CASE("the cache folder is $GRADUS_CACHE, else $XDG_CACHE_HOME/gradus, else ~/.cache/gradus") {
  const ScopedVariable home("HOME", "/h"), xdg("XDG_CACHE_HOME", "/x"), own("GRADUS_CACHE", "/g");
  CHECK(cache_folder() == "/g");
  unsetenv("GRADUS_CACHE");
  CHECK(cache_folder() == "/x/gradus");
  unsetenv("XDG_CACHE_HOME");
  CHECK(cache_folder() == "/h/.cache/gradus");
  unsetenv("HOME");
  CHECK(cache_folder().empty());
}

TEST_CASE("the lent CIFAR-10 archive is read whole, known for what it is, and the same from the cache") {
  const std::string path = shared_data("cifar10-jpeg.tar.gz");
  if (path.empty()) return;
  const TemporaryFolder folder;
  const ScopedVariable cache("GRADUS_CACHE", folder / "cache");
  try {
    const DataSplits decoded = read_image_folder(path), cached = read_image_folder(path);
    CHECK(decoded.train.name() == "CIFAR-10 (JPEG q75)");
    CHECK(decoded.train.size() == 50000);
    CHECK(decoded.test.size() == 10000);
    for (int32_t label = 0; label < 10; ++label) {
      CHECK(std::ranges::count(decoded.train.labels(), label) == 5000);
      CHECK(std::ranges::count(decoded.test.labels(), label) == 1000);
    }
    CHECK(cached.train.checksum() == decoded.train.checksum());
    CHECK(cached.test.checksum() == decoded.test.checksum());
  } catch (const Error& error) {
    if (!contains(error.what(), "-Darchive=enabled")) throw;
    MESSAGE("skipped: built without libarchive");
  }
}

TEST_CASE("real photographs of many sizes, some gray, become one data set of squares") {
  const std::string path = shared_data("imagenet-sample.tar");
  if (path.empty()) return;
  try {
    const DataSplits splits = read_image_folder(path, {.channels = 3, .side = 64, .cache = false});
    CHECK(splits.train.size() == 120);
    CHECK(splits.train.num_classes() == 120);
    CHECK(contains(error_of([&] { read_image_folder(path, {.cache = false}); }), "imagenet-sample.tar:train/"));
  } catch (const Error& error) {
    if (!contains(error.what(), "-Darchive=enabled")) throw;
    MESSAGE("skipped: built without libarchive");
  }
}

TEST_CASE("images kept for one size or number of channels are not taken for another") {
  const TemporaryFolder folder;
  write_small_tree(folder);
  const ScopedVariable cache("GRADUS_CACHE", folder / "cache");
  for (int i = 0; i < 2; ++i)  // decoded, then found
    for (const int64_t channels : {1, 3})
      for (const int64_t side : {2, 4}) {
        const DataSplits splits = read_image_folder(folder / "tree", {.channels = channels, .side = side});
        CHECK(splits.train.info().height == side);
        CHECK(splits.train.info().channels == channels);
      }
}

TEST_CASE("the longer side is resized to the nearest number of pixels") {
  // 4 / 3 of 2 is nearly 3, of which 2 are kept. By triangles of half width 4 / 3 around 2 / 3 and 2 the weights are
  // 0.7 and 0.3, and 0.5 and 0.5.
  const TemporaryFolder folder;
  const std::string row = {0, 60, 120, static_cast<char>(180)};
  folder.write("tree/train/a/a.pgm", "P5 4 3 255\n" + row + row + row);
  CHECK(std::ranges::equal(read(folder, {.side = 2}).train.image(0), std::vector<uint8_t>{18, 90, 18, 90}));
}

TEST_CASE("pictures with transparency are refused unless they are converted") {
  const TemporaryFolder folder;
  const Image clear{.height = 1, .width = 2, .channels = 4, .pixels = std::vector<uint8_t>(8, 100)};
  folder.write("tree/train/a/a.png", encode_png(clear));
  CHECK(contains(error_of([&] { read(folder); }), "a.png has 4 channels where 1 (gray) or 3 (RGB) were expected"));
  CHECK(read(folder, {.channels = 3}).train.info().channels == 3);
}
