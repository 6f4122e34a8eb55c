#include "data/photo_set.h"

#include <doctest/doctest.h>

#include <set>

#include "data/packing.h"
#include "data/photo_store.h"
#include "tests/data/photo_golden.h"
#include "tests/data/temporary_folder.h"

using namespace gradus;

namespace {

/// A PPM of 6 x 9 pixels, every byte of which is `value`.
std::string picture(char value) { return "P6 9 6 255\n" + std::string(6 * 9 * 3, value); }

void write_tree(const TemporaryFolder& folder, const std::string& top = "tree") {
  for (int i = 0; i < 4; ++i)
    folder.write(top + "/train/dog/" + std::to_string(i) + ".ppm", picture(static_cast<char>(i)));
  folder.write(top + "/train/cat/deep/z.ppm", picture(9));
  folder.write(top + "/train/cat/notes.txt", "none");
  folder.write(top + "/val/dog/c.ppm", picture(40));
}

int value_of(const PhotoSet& photos, int64_t index) {
  const PicturePart part = photos.part(
      index,
      [](int64_t h, int64_t w) {
        return Crop{.box = {0, 0, static_cast<double>(h), static_cast<double>(w)}};
      },
      6, 9);
  return part.image.pixels[0];
}

std::string packed_file(const TemporaryFolder& folder) {
  return std::filesystem::directory_iterator(folder / "cache")->path().string();
}

}  // namespace

TEST_CASE("photographs are listed by class and name, and read when they are asked for") {
  const TemporaryFolder folder;
  write_tree(folder);
  const PhotoSplits splits = read_photo_folder(folder / "tree");
  CHECK(splits.train.name() == "tree");
  CHECK(splits.train.class_names() == std::vector<std::string>{"cat", "dog"});
  CHECK(splits.train.size() == 5);
  CHECK(splits.train.label(0) == 0);
  CHECK(splits.train.label(4) == 1);
  CHECK(splits.train.file(0) == folder / "tree/train/cat/deep/z.ppm");
  CHECK(value_of(splits.train, 0) == 9);
  CHECK(value_of(splits.train, 3) == 2);
  CHECK(splits.test.size() == 1);
  CHECK(splits.test.label(0) == 1);
  for (int64_t index : {-1, 5}) {
    const std::string asked = text("[dataset] image ", index, " was asked of tree, which has 5");
    CHECK(error_of([&] { splits.train.label(index); }) == asked);
    CHECK(error_of([&] { splits.train.file(index); }) == asked);
    CHECK(error_of([&] { value_of(splits.train, index); }) == asked);
    CHECK(error_of([&] { splits.train.subset({index}); }) == asked);
  }
  folder.write("tree/train/dog/2.ppm", picture(77));
  CHECK(value_of(splits.train, 3) == 77);
}

TEST_CASE("folders of classes alone are all training images, at the top or one folder below") {
  const TemporaryFolder folder;
  for (const char* top : {"flat/", "deep/photos/"})
    for (const char* name : {"b/1.ppm", "a/x/2.ppm", "a/3.ppm"}) folder.write(std::string(top) + name, picture(1));
  for (const char* path : {"flat", "deep"}) {
    const PhotoSplits splits = read_photo_folder(folder / path);
    CHECK(splits.train.class_names() == std::vector<std::string>{"a", "b"});
    CHECK(splits.train.size() == 3);
    CHECK(splits.test.size() == 0);
  }
}

TEST_CASE("a folder without photographs, and a class that train has not, are errors") {
  const TemporaryFolder folder;
  folder.write("none/readme.txt", "");
  CHECK(contains(error_of([&] { read_photo_folder(folder / "none"); }),
                 "has no image at train/CLASS/FILE or CLASS/FILE"));
  CHECK(contains(error_of([&] { read_photo_folder(folder / "nowhere"); }), "nowhere does not exist"));
  write_tree(folder);
  folder.write("tree/val/horse/h.ppm", picture(1));
  CHECK(contains(error_of([&] { read_photo_folder(folder / "tree"); }), "val/horse/h.ppm is of class 'horse'"));
  CHECK(contains(error_of([&] { read_photo_folder(folder / "tree", {.pack = -1}); }), "pack -1"));
}

TEST_CASE("a file that does not decode, or went away, is an error with its name when it is asked for") {
  const TemporaryFolder folder;
  write_tree(folder);
  folder.write("tree/train/dog/2.ppm", "no picture");
  const PhotoSet photos = read_photo_folder(folder / "tree").train;
  CHECK(contains(error_of([&] { value_of(photos, 3); }), "train/dog/2.ppm is not a"));
  std::filesystem::remove(folder / "tree/train/dog/2.ppm");
  CHECK(contains(error_of([&] { value_of(photos, 3); }), "train/dog/2.ppm"));
}

TEST_CASE("the checksum follows names, sizes and classes") {
  const TemporaryFolder folder;
  write_tree(folder);
  const std::string checksum = read_photo_folder(folder / "tree").train.checksum();
  CHECK(read_photo_folder(folder / "tree").train.checksum() == checksum);
  folder.write("tree/train/dog/2.ppm", picture(77) + "x");
  CHECK(read_photo_folder(folder / "tree").train.checksum() != checksum);
}

TEST_CASE("packed photographs are resized once, found again, and packed anew when a file changes or damage shows") {
  const TemporaryFolder folder;
  write_tree(folder);
  folder.write("tree/train/dog/2.ppm", "no picture");
  const ScopedVariable cache("GRADUS_CACHE", folder / "cache");
  std::vector<int64_t> done;
  const auto read = [&] {
    return read_photo_folder(folder / "tree",
                             {.pack = 3, .progress = [&](int64_t now, int64_t) { done.push_back(now); }});
  };
  const PhotoSplits packed = read();
  CHECK(done == std::vector<int64_t>{5, 6});
  CHECK(packed.notes.empty());
  CHECK(packed.train.class_names() == std::vector<std::string>{"cat", "dog"});
  CHECK(packed.train.checksum() == read_photo_folder(folder / "tree").train.checksum());
  CHECK(packed.train.file(1) == folder / "tree/train/dog/0.ppm");
  CHECK(value_of(packed.train, 2) == 1);
  CHECK(value_of(packed.test, 0) == 40);
  // 6 x 9, resized to 3 x 5 (4.5 is rounded to even or away; torch-free: away).
  const PicturePart part = packed.train.part(
      2,
      [](int64_t h, int64_t w) {
        return Crop{.box = {0, 0, static_cast<double>(h), static_cast<double>(w)}};
      },
      1, 1);
  CHECK(part.image.height == 3);
  CHECK(part.image.width == 5);
  CHECK(contains(error_of([&] { value_of(packed.train, 3); }), "train/dog/2.ppm is not a"));

  read();
  CHECK(done.size() == 2);  // nothing was packed again
  const std::string bytes = read_file(packed_file(folder));
  for (size_t at : {bytes.size() - 1, bytes.size() - 30}) {
    std::string damaged = bytes;
    damaged[at] = static_cast<char>(damaged[at] ^ 4);
    std::ofstream(packed_file(folder), std::ios::binary) << damaged;
    done.clear();
    CHECK(value_of(read().train, 2) == 1);
    CHECK_MESSAGE(done.size() == 2, at);
  }
  std::string damaged = bytes;
  damaged[20] ^= 1;  // in the pixels of the first photograph
  std::ofstream(packed_file(folder), std::ios::binary) << damaged;
  CHECK(contains(error_of([&] { value_of(read().train, 0); }), "is damaged at "));
  folder.write("tree/train/dog/2.ppm", picture(5));
  CHECK(value_of(read().train, 3) == 5);
}

TEST_CASE("a packed file that makes no sense is made anew, whatever its checksums say") {
  const TemporaryFolder folder;
  struct Contents {
    std::string magic = "gradus photos 1\n";
    int64_t classes = 1, photos = 1, label = 0, side = 1, width = 1;
    std::string error = {};
  };
  const auto open = [&](const Contents& contents) {
    FieldWriter index;
    for (const char* text : {"key", "name"}) index.add(std::string(text));
    index.add(contents.classes);
    index.add(std::string("class"));
    index.add(contents.photos);
    for (const std::string& text : {std::string("1.ppm"), std::string("/1.ppm"), contents.error}) index.add(text);
    for (int64_t value : {int64_t{3}, contents.label, contents.side, contents.width, int64_t{16}, int64_t{0}})
      index.add(value);
    index.add(int64_t{0});  // photographs to test with
    Checksum checksum;
    checksum.update(index.bytes().data(), index.bytes().size());
    FieldWriter trailer;
    for (uint64_t value : {uint64_t{19}, uint64_t{index.bytes().size()}, checksum.value() >> 1})
      trailer.add(static_cast<int64_t>(value));
    const std::string path = folder.write("pack", contents.magic + "rgb" + index.bytes() + trailer.bytes());
    return open_packed_photos(path, "key");
  };
  const auto opened = [&](const Contents& contents) { return open(contents).has_value(); };
  CHECK(opened({}));
  CHECK(!opened({.magic = "gradus photos 0\n"}));
  CHECK(!opened({.classes = 1 << 20}));
  CHECK(!opened({.photos = int64_t{1} << 32}));
  CHECK(!opened({.label = 1}));
  CHECK(!opened({.side = 2}));
  CHECK(!opened({.side = 0}));
  const auto flat = open({.side = 1, .width = 0, .error = "1.ppm is\ndamaged"});
  REQUIRE(flat.has_value());
  CHECK(error_of([&] { value_of(PhotoSet(flat->train), 0); }) == "1.ppm is?damaged");
}

TEST_CASE("a photograph that is gone is an error that names it, also where only its size is asked for") {
  const TemporaryFolder folder;
  const PhotoSet photos = photo_files({folder / "none.ppm"}, {"x"});
  CHECK(contains(error_of([&] { photos.checksum(); }), folder / "none.ppm"));
  CHECK(contains(error_of([&] { value_of(photos, 0); }), folder / "none.ppm"));
}

TEST_CASE("where nothing can be packed a note says so, and the photographs come from their files") {
  const TemporaryFolder folder;
  write_tree(folder);
  const ScopedVariable cache("GRADUS_CACHE", folder.write("file", "in the way") + "/cache");
  const PhotoSplits splits = read_photo_folder(folder / "tree", {.pack = 3});
  CHECK(value_of(splits.train, 0) == 9);
  REQUIRE(splits.notes.size() == 1);
  CHECK(contains(splits.notes[0], "could not be packed"));
}

TEST_CASE("a photograph that cannot be read, which may pass, is not packed as a damaged one") {
  const TemporaryFolder folder;
  for (int i = 100; i < 200; ++i) folder.write(text("tree/train/a/", i, ".ppm"), picture(1));
  const ScopedVariable cache("GRADUS_CACHE", folder / "cache");
  const std::string last = folder / "tree/train/a/199.ppm";
  const PhotoSplits splits = read_photo_folder(
      folder / "tree", {.pack = 3, .progress = [&](int64_t, int64_t) { std::filesystem::remove(last); }});
  REQUIRE(splits.notes.size() == 1);
  CHECK(contains(splits.notes[0], "could not be packed"));
  CHECK(contains(splits.notes[0], last));
  CHECK(std::filesystem::is_empty(folder / "cache"));
  folder.write("tree/train/a/199.ppm", picture(1));
  const PhotoSplits again = read_photo_folder(folder / "tree", {.pack = 3});
  CHECK(again.notes.empty());
  CHECK(value_of(again.train, 99) == 1);
}

TEST_CASE("a share of every class is held out, the same in every run") {
  const TemporaryFolder folder;
  for (int i = 0; i < 10; ++i) folder.write("tree/many/" + std::to_string(i) + ".ppm", picture(static_cast<char>(i)));
  for (int i = 0; i < 2; ++i)
    folder.write("tree/two/" + std::to_string(i) + ".ppm", picture(static_cast<char>(20 + i)));
  folder.write("tree/one/0.ppm", picture(30));
  const auto split = [&](double share, uint64_t seed) {
    PhotoSet kept = read_photo_folder(folder / "tree").train;
    const PhotoSet held = hold_out(kept, share, seed);
    std::pair<std::set<int>, std::set<int>> values;
    for (int64_t i = 0; i < kept.size(); ++i) values.first.insert(value_of(kept, i));
    for (int64_t i = 0; i < held.size(); ++i) values.second.insert(value_of(held, i));
    return values;
  };
  const auto [kept, held] = split(0.3, 0);
  CHECK(kept.size() == 7 + 1 + 1);
  CHECK(held.size() == 3 + 1);
  for (int value : held) CHECK(!kept.contains(value));
  CHECK(split(0.3, 0).second == held);
  CHECK(split(0.3, 1).second != held);
  // of two always one, and the share of ten to the nearest number
  CHECK(split(0.1, 0).second.size() == 1 + 1);
  CHECK(split(0.27, 0).second.size() == 3 + 1);
  CHECK(split(0.96, 0).second.size() == 9 + 1);
  PhotoSet photos = read_photo_folder(folder / "tree").train;
  CHECK(contains(error_of([&] { hold_out(photos, 1); }), "a share of 1"));
  const PhotoSet half = hold_out(photos, 0.5);
  for (const PhotoSet& set : {half, photos})  // in the order of classes and names, as before
    for (int64_t i = 1; i < set.size(); ++i) CHECK(set.file(i - 1) < set.file(i));
}

TEST_CASE("single files can be read for predictions") {
  const TemporaryFolder folder;
  const PhotoSet photos =
      photo_files({folder.write("a.ppm", picture(3)), folder.write("b.ppm", picture(4))}, {"x", "y"});
  CHECK(photos.size() == 2);
  CHECK(value_of(photos, 1) == 4);
  CHECK(photos.class_names().size() == 2);
}

TEST_CASE("the photographs of an archive come from memory") {
  const std::string path = shared_data("imagenet-sample.tar");
  if (path.empty()) return;
  const PhotoSplits splits = read_photo_folder(path);
  CHECK(splits.train.size() == 120);
  CHECK(splits.train.class_names().size() == 120);
  CHECK(splits.train.name() == "imagenet-sample");
  CHECK(contains(splits.train.file(0), "imagenet-sample.tar:train/n01443537/"));
}

TEST_CASE("photographs packed at one size are not taken for another, and small ones are not enlarged") {
  const TemporaryFolder folder;
  write_tree(folder);
  const ScopedVariable cache("GRADUS_CACHE", folder / "cache");
  for (int i = 0; i < 2; ++i)  // packed, then found
    for (const int64_t pack : {2, 4, 100}) {
      const PhotoSet photos = read_photo_folder(folder / "tree", {.pack = pack}).train;
      int64_t height = 0;
      photos.part(
          0,
          [&](int64_t h, int64_t w) {
            height = h;
            return Crop{.box = {0, 0, static_cast<double>(h), static_cast<double>(w)}};
          },
          6, 9);
      CHECK(height == std::min<int64_t>(pack, 6));
    }
}

TEST_CASE("a folder is called by its own name, also where its path ends in a slash") {
  const TemporaryFolder folder;
  write_tree(folder);
  CHECK(read_photo_folder(folder / "tree/").train.name() == "tree");
}

TEST_CASE("folders within the folders of classes are no classes") {
  const TemporaryFolder folder;
  folder.write("tree/a/summer/0.ppm", picture(1));
  folder.write("tree/b/winter/0.ppm", picture(2));
  CHECK(read_photo_folder(folder / "tree").train.class_names() == std::vector<std::string>{"a", "b"});
}
