// Damaged files of data's formats: pictures, data sets, archives of them, and what is kept packed in the cache.
#include <algorithm>

#include "data/archive.h"
#include "data/cache.h"
#include "data/cifar10.h"
#include "data/crc32.h"
#include "data/decode_part.h"
#include "data/file_source.h"
#include "data/image_folder.h"
#include "data/locate.h"
#include "data/mnist.h"
#include "data/packing.h"
#include "data/photo_store.h"
#include "tests/data/photo_golden.h"
#include "tests/data/temporary_folder.h"
#include "tests/mutate.h"

using namespace gradus;
using mutation::campaign;
using mutation::Reader;

namespace {

std::string text_of(std::span<const uint8_t> bytes) {
  return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

/// Bytes of a number, lowest first or, with a negative count, highest first.
std::string number(uint64_t value, int count) {
  std::string bytes;
  for (int i = 0; i < std::abs(count); ++i) bytes += static_cast<char>(value >> 8 * (count < 0 ? -count - 1 - i : i));
  return bytes;
}
uint64_t number_at(const std::string& bytes, size_t at, int count) {
  uint64_t value = 0;
  for (int i = 0; i < std::abs(count); ++i)
    value |= uint64_t{static_cast<uint8_t>(bytes[at + static_cast<size_t>(i)])} << 8 * (count < 0 ? -count - 1 - i : i);
  return value;
}

uint32_t crc_of(std::string_view bytes) {
  Crc32 crc;
  crc.update(as_bytes(bytes));
  return crc.value();
}

uint64_t checksum_of(std::string_view bytes) {
  Checksum checksum;
  checksum.update(bytes.data(), bytes.size());
  return checksum.value();
}

/// A gzip file whose content is not compressed (RFC 1951, section 3.2.4): at most 65,535 bytes.
std::string gzip(const std::string& bytes) {
  return std::string("\x1f\x8b\x08\0\0\0\0\0\0\3\1", 11) + number(bytes.size(), 2) + number(~bytes.size(), 2) + bytes +
         number(crc_of(bytes), 4) + number(bytes.size(), 4);
}

/// Runs a shell command in the folder, and gives the file that it makes; empty, with a message, where that fails.
std::string made(const TemporaryFolder& folder, const std::string& name, const std::string& command) {
  if (std::system(("cd '" + folder.path().string() + "' && " + command + " 2>/dev/null").c_str()) == 0)
    return read_file(folder / name);
  MESSAGE("skipped: this machine cannot run: " << command);
  return {};
}

/// Looks at every part that a training may ask for.
void decode(const std::string& bytes, const std::string& name) {
  const auto boxes = {Box{0, 0, 1, 1}, Box{0.3, 0.4, 0.4, 0.3}, Box{0.9, 0.9, 0.1, 0.1}, Box{0, 0.5, 1, 0.01}};
  for (int64_t channels : {0, 1, 3}) decode_image(as_bytes(bytes), name, channels);
  jpeg_quality(as_bytes(bytes));
  for (int64_t side : {1, 7, 100})
    for (const Box& box : boxes) {
      const auto crop = [&](int64_t height, int64_t width) {
        const auto h = static_cast<double>(height), w = static_cast<double>(width);
        return Crop{.box = {box.top * h, box.left * w, box.height * h, box.width * w}, .margin = 1};
      };
      const PicturePart part = decode_part(as_bytes(bytes), name, crop, side, side);
      std::vector<float> values(static_cast<size_t>(side * side * 3));
      resample(part.view(), part.region.box, side, side, false, values.data());
    }
}

void picture_campaign(Reader reader) {
  reader.file = "class/picture";
  reader.read = [](const std::string& bytes) { decode(bytes, "class/picture"); };
  campaign(reader);
}

/// Checksums of a PNG's chunks.
void seal_png(std::string& bytes) {
  for (size_t at = 8; at + 12 <= bytes.size();) {
    const uint64_t length = number_at(bytes, at, -4);
    if (length > bytes.size() - at - 12) return;
    bytes.replace(at + 8 + length, 4, number(crc_of(std::string_view(bytes).substr(at + 4, 4 + length)), -4));
    at += 12 + length;
  }
}

/// Checksums of a tar's headers: the sum of their bytes, with spaces in its own place.
void seal_tar(std::string& bytes) {
  for (size_t at = 0; at + 512 <= bytes.size(); at += 512) {
    if (bytes.compare(at + 257, 5, "ustar") != 0) continue;
    bytes.replace(at + 148, 8, 8, ' ');
    unsigned sum = 0;
    for (size_t i = 0; i < 512; ++i) sum += static_cast<uint8_t>(bytes[at + i]);
    char octal[8];
    std::snprintf(octal, sizeof octal, "%06o", sum);
    bytes.replace(at + 148, 7, octal, 7);
  }
}

std::string idx(const std::vector<uint32_t>& extents, const std::string& values) {
  std::string bytes = number(0x800 + extents.size(), -4);
  for (uint32_t extent : extents) bytes += number(extent, -4);
  return bytes + values;
}

void write_mnist(const TemporaryFolder& folder, const std::string& top) {
  folder.write(top + "/train-images-idx3-ubyte", idx({3, 2, 4}, std::string(24, 'p')));
  folder.write(top + "/train-labels-idx1-ubyte", idx({3}, std::string("\5\0\t", 3)));
  folder.write(top + "/t10k-images-idx3-ubyte", idx({2, 2, 4}, std::string(16, 'q')));
  folder.write(top + "/t10k-labels-idx1-ubyte", idx({2}, "\1\2"));
}

/// Two classes of two pictures each, and two more of one to test with.
void write_pictures(const TemporaryFolder& folder) {
  for (const char* name : {"train/cat/a", "train/cat/b", "train/dog/a", "train/dog/b", "val/cat/a", "val/dog/a"})
    folder.write(std::string("tree/") + name + ".ppm", "P6 2 3 255\n" + std::string(18, name[6]));
}

void read_photos(const PhotoSet& photos) {
  for (int64_t i = 0; i < photos.size(); ++i) {
    const auto whole = [](int64_t height, int64_t width) {
      return Crop{.box = {0, 0, static_cast<double>(height), static_cast<double>(width)}};
    };
    photos.part(i, whole, 4, 4).view();
  }
  photos.checksum();
}

}  // namespace

TEST_CASE("a damaged PNG is read or named") {
  for (const auto& [channels, side] : {std::pair<int64_t, int64_t>{1, 3}, {2, 5}, {3, 20}, {4, 9}}) {
    Image image{.height = side, .width = side + 2, .channels = channels, .pixels = {}};
    for (int64_t i = 0; i < side * (side + 2) * channels; ++i) image.pixels.push_back(static_cast<uint8_t>(i * i));
    picture_campaign(
        {.name = text("png of ", channels, " channels"),
         .valid = encode_png(image),
         .words = {"IHDR", "IDAT", "PLTE", "tRNS", "IEND", "CgBI", std::string("\0\0\0\0IEND\xae\x42\x60\x82", 12)},
         .seal = seal_png});
  }
}

TEST_CASE("a damaged JPEG is read or named") {
  for (const auto& [kind, expected] : golden::photos().at("jpeg").items())
    picture_campaign({.name = "jpeg " + kind,
                      .valid = text_of(golden::from_base64(expected.at("file"))),
                      .words = {"\xff\xd8", "\xff\xd9", "\xff\xda", "\xff\xc4", "\xff\xdb", "\xff\xc0", "\xff\xc1",
                                "\xff\xc2", "\xff\xc9", "\xff\xca", "\xff\xdd", "\xff\xee", "\xff\xe0", "\xff\xd0",
                                std::string("\xff\0", 2), "Adobe", "JFIF"}});
}

TEST_CASE("a damaged BMP, PPM or PGM is read or named") {
  for (const int bits : {1, 4, 8, 16, 24, 32}) {
    const int row = (5 * bits + 31) / 32 * 4, colors = bits <= 8 ? 1 << bits : 0, header = 54 + 4 * colors;
    std::string bytes = "BM" + number(static_cast<uint64_t>(header + 3 * row), 4) + number(0, 4) +
                        number(static_cast<uint64_t>(header), 4) + number(40, 4) + number(5, 4) + number(3, 4) +
                        number(1, 2) + number(static_cast<uint64_t>(bits), 2) + std::string(24, '\0');
    for (int i = 0; i < 4 * colors + 3 * row; ++i) bytes += static_cast<char>(37 * i);
    picture_campaign({.name = text("bmp of ", bits, " bits"), .valid = bytes, .share = 0.7});
  }
  for (const char* header : {"P6 5 3 255\n", "P5 # gray\n5 3\t65535 ", "P5 5 3 9\n"})
    picture_campaign({.name = header, .valid = header + std::string(60, 'x'), .words = {"#", "\n", " "}});
}

TEST_CASE("a damaged IDX file is read or named") {
  const TemporaryFolder folder;
  write_mnist(folder, "mnist");
  for (const char* name : {"train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte"}) {
    const std::string file = std::string("mnist/") + name, valid = read_file(folder / file);
    campaign({.name = name,
              .valid = valid,
              .read =
                  [&](const std::string& bytes) {
                    folder.write(file, bytes);
                    read_mnist(folder / "mnist").train.checksum();
                  },
              .file = folder / "mnist"});
    folder.write(file, valid);
  }
}

TEST_CASE("a damaged .gz file is read or named") {
  const TemporaryFolder folder;
  const std::string path = folder / "x.gz";
  folder.write("x", "content " + std::string(1000, 'c'));
  for (const std::string& valid :
       {gzip("content"), made(folder, "x.gz", "gzip x"), gzip("some") + gzip("") + gzip(std::string(3000, 'x'))})
    if (!valid.empty())
      campaign({.name = "gzip",
                .valid = valid,
                .read =
                    [&](const std::string& bytes) {
                      folder.write("x.gz", bytes);
                      read_gzip(path, 1 << 20);
                    },
                .file = path,
                .words = {std::string("\x1f\x8b\x08\0", 4), gzip("more"), gzip("")}});
}

TEST_CASE("a damaged file of CIFAR-10 is read or named") {
  const TemporaryFolder folder;
  const std::string file(10000 * 3073, '\3');
  for (const char* name : {"data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"})
    folder.write(std::string("cifar/") + name + ".bin", file);
  campaign({.name = "cifar10",
            .valid = file,
            .read =
                [&](const std::string& bytes) {
                  folder.write("cifar/data_batch_1.bin", bytes);
                  read_cifar10(folder / "cifar");
                },
            .file = folder / "cifar",
            .share = 0.01,
            .memory = size_t{1} << 30});
}

TEST_CASE("a damaged archive of a data set is read or named") {
  const TemporaryFolder folder;
  write_mnist(folder, "tree");
  write_pictures(folder);
  const auto open = [&](const std::string& name) {
    return [&folder, name](const std::string& bytes) {
      folder.write(name, bytes);
      const ScopedVariable cache("GRADUS_CACHE", "");
      const ScopedVariable other("XDG_CACHE_HOME", ""), home("HOME", "");
      open_dataset(folder / name);
    };
  };
  const auto photos = [&](const std::string& name) {
    return [&folder, name](const std::string& bytes) {
      folder.write(name, bytes);
      const PhotoSplits splits = read_photo_folder(folder / name);
      read_photos(splits.train);
      read_photos(splits.test);
    };
  };
  // Of one time and in one order, so that a variant is the same in every run.
  made(folder, "tree/train/cat/a.ppm", "find tree -exec touch -d @1000000000 {} +");
  const std::string mnist = made(folder, "m.tar", "tar cf m.tar --format=ustar --sort=name -C tree --exclude=*.ppm .");
  const std::string tree = made(folder, "p.tar",
                                "tar cf p.tar --format=pax --sort=name -C tree train val "
                                "--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime");
  if (mnist.empty() || tree.empty()) return;
  const std::vector<std::string> words = {"ustar",
                                          "train/",
                                          "././@LongLink",
                                          "30 path=train/cat/x\n.ppm\n",
                                          "77777777777",
                                          "\x80\xff\xff\xff",
                                          "GNU.sparse.size=99999999999"};
  Reader reader{
      .name = "tar", .valid = mnist, .read = open("m.tar"), .file = folder / "m.tar", .words = words, .seal = seal_tar};
  campaign(reader);
  reader.valid = tree;
  campaign(reader);
  reader.name = "tar of photographs";
  reader.read = photos("m.tar");
  campaign(reader);
  reader.name = "tar in gzip";
  reader.read = [&](const std::string& bytes) { photos("m.tar")(gzip(bytes.substr(0, 65535))); };
  campaign(reader);
  reader.seal = {};
  for (const auto& [name, command] : std::map<std::string, std::string>{
           {"p.tar.gz", "gzip -nk p.tar"},
           {"p.tar.bz2", "bzip2 -k p.tar"},
           {"p.tar.xz", "xz -k p.tar"},
           {"stored.zip",
            "python3 -c \"import zipfile; z = zipfile.ZipFile('stored.zip', 'w'); [z.write('tree/%s/%s/a.ppm' % (s, "
            "c)) for s in ('train', 'val') for c in ('cat', 'dog')]\""},
           {"deflated.zip", "python3 -c \"import shutil; shutil.make_archive('deflated', 'zip', 'tree', 'train')\""}}) {
    reader = {.name = name,
              .valid = made(folder, name, command),
              .read = photos(name),
              .file = folder / name,
              .words = {"PK\1\2", "PK\3\4", "PK\5\6", "PK\6\6", "PK\7\x8", "\x1f\x8b"}};
    if (!reader.valid.empty()) campaign(reader);
  }
}

TEST_CASE("a damaged packed data set is read or passed over") {
  const TemporaryFolder folder;
  const std::string path = folder / "packed";
  const DatasetInfo info{.name = "x", .channels = 1, .height = 2, .width = 2, .class_names = {"a", "b"}};
  const Dataset split(info, {1, 2, 3, 4, 5, 6, 7, 8}, {0, 1});
  write_packed(path, "key", {.train = split, .test = split, .notes = {}});
  campaign({.name = "packed data set",
            .valid = read_file(path),
            .read =
                [&](const std::string& bytes) {
                  folder.write("packed", bytes);
                  const std::optional<DataSplits> splits = read_packed(path, "key");
                  if (!splits) fail(ErrorKind::io, "test", "passed over");
                  splits->train.checksum();
                },
            .seal =
                [](std::string& bytes) {  // the header, then the pixels and labels of each split
                  const uint64_t size = bytes.size() < 32 ? bytes.size() : number_at(bytes, 16, 8);
                  if (size > bytes.size() - 32 || bytes.size() - 32 - size != 32) return;
                  Checksum checksum;
                  const char* at = bytes.data() + 24;
                  for (uint64_t part : {size, uint64_t{8}, uint64_t{8}, uint64_t{8}, uint64_t{8}}) {
                    checksum.update(at, part);
                    at += part;
                  }
                  bytes.replace(bytes.size() - 8, 8, number(checksum.value(), 8));
                },
            .share = 3});
}

TEST_CASE("a damaged file of packed photographs is read, passed over or named") {
  const TemporaryFolder folder;
  write_pictures(folder);
  folder.write("tree/train/cat/b.ppm", "not a picture");
  const ScopedVariable cache("GRADUS_CACHE", folder / "cache");
  read_photo_folder(folder / "tree", {.pack = 2});
  const std::string packed = std::filesystem::directory_iterator(folder / "cache")->path().string();
  const std::string key = FileSource(folder / "tree").fingerprint();
  campaign({.name = "packed photographs",
            .valid = read_file(packed),
            .read =
                [&](const std::string& bytes) {
                  std::ofstream(packed, std::ios::binary) << bytes;
                  const std::optional<PackedPhotos> found = open_packed_photos(packed, key);
                  if (!found) fail(ErrorKind::io, "test", folder.path().string(), ": passed over");
                  for (const auto& store : {found->train, found->test})
                    for (size_t i = 0; i < store->labels.size(); ++i) {
                      const PhotoSet photos = PhotoSet(store).subset({static_cast<int64_t>(i)});
                      if (photos.file(0) == folder / "tree/train/cat/b.ppm") continue;
                      try {
                        read_photos(photos);
                      } catch (const Error& error) {  // names the photograph, by a path that may be damaged
                        fail(error.kind(), "test", folder.path().string(), ": ", error.what());
                      }
                    }
                },
            .file = folder.path().string(),
            .seal =
                [](std::string& bytes) {  // the index's, behind the place of the index and its size
                  const size_t end = bytes.size() - 24;
                  if (bytes.size() < 24 || number_at(bytes, end, 8) > end) return;
                  const std::string index = bytes.substr(number_at(bytes, end, 8), end - number_at(bytes, end, 8));
                  bytes.replace(end + 8, 16, number(index.size(), 8) + number(checksum_of(index) >> 1, 8));
                },
            .share = 3});
}
