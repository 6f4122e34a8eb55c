// Photographs decoded once and packed into one file: the pixels one after another, then an index of them, then where
// the index lies. Made for the machine that wrote it.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <filesystem>
#include <utility>

#include "core/error.h"
#include "core/file.h"
#include "core/parallel.h"
#include "core/shortened.h"
#include "data/file_source.h"
#include "data/packing.h"
#include "data/photo_store.h"

namespace gradus {
namespace {

constexpr std::string_view magic = "gradus photos 1\n";
constexpr int64_t largest_side = 1 << 16;

struct Entry {
  std::string short_name, file;
  int64_t bytes = 0;  ///< of the file
  int64_t label = 0;
  int64_t height = 0, width = 0;  ///< of the packed RGB pixels; 0 where the file is damaged
  int64_t offset = 0;
  int64_t checksum = 0;
  std::string error;  ///< what was said of a damaged file
};

struct Trailer {
  uint64_t offset = 0, size = 0;  ///< of the index
  int64_t checksum = 0;
};

int64_t checksum_of(const void* data, size_t size) {
  Checksum checksum;
  checksum.update(data, size);
  return static_cast<int64_t>(checksum.value() >> 1);
}

/// A file of which any part can be read, by any thread.
class PartReader {
 public:
  explicit PartReader(std::string path)
      : path_(std::move(path)), descriptor_(::open(path_.c_str(), O_RDONLY | O_CLOEXEC)) {
    if (descriptor_ < 0) fail(ErrorKind::io, "cache", "cannot open ", path_, " (", std::strerror(errno), ")");
  }
  ~PartReader() { ::close(descriptor_); }
  PartReader(const PartReader&) = delete;
  PartReader& operator=(const PartReader&) = delete;

  const std::string& path() const { return path_; }
  void read(uint64_t offset, void* to, size_t size) const {
    for (size_t done = 0; done < size;) {
      const ssize_t count =
          ::pread(descriptor_, static_cast<char*>(to) + done, size - done, static_cast<off_t>(offset + done));
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0)
        fail(ErrorKind::io, "cache", path_, " cannot be read (", count < 0 ? std::strerror(errno) : "it ends too early",
             "): remove it, and it is made anew");
      done += static_cast<size_t>(count);
    }
  }

 private:
  std::string path_;
  int descriptor_;
};

class PackedStore : public PhotoStore {
 public:
  PackedStore(std::shared_ptr<const PartReader> reader, std::vector<Entry> entries)
      : reader_(std::move(reader)), entries_(std::move(entries)) {
    for (const Entry& entry : entries_) labels.push_back(static_cast<int32_t>(entry.label));
  }
  const std::string& short_name(int64_t index) const override { return at(index).short_name; }
  std::string file(int64_t index) const override { return at(index).file; }
  int64_t bytes(int64_t index) const override { return at(index).bytes; }
  PicturePart part(int64_t index, const ChooseCrop& choose, int64_t, int64_t) const override {
    const Entry& entry = at(index);
    if (!entry.error.empty()) throw Error(ErrorKind::io, shortened(entry.error, 1000));
    Image image{.height = entry.height, .width = entry.width, .channels = 3, .pixels = {}};
    image.pixels.resize(static_cast<size_t>(entry.height * entry.width * 3));
    reader_->read(static_cast<uint64_t>(entry.offset), image.pixels.data(), image.pixels.size());
    if (checksum_of(image.pixels.data(), image.pixels.size()) != entry.checksum)
      fail(ErrorKind::io, "cache", reader_->path(), " is damaged at ", entry.file, ": remove it, and it is made anew");
    const Region region = region_of(choose(entry.height, entry.width), entry.height, entry.width);
    return {.image = std::move(image), .region = region};
  }

 private:
  const Entry& at(int64_t index) const { return entries_[static_cast<size_t>(index)]; }

  std::shared_ptr<const PartReader> reader_;
  std::vector<Entry> entries_;
};

/// Decodes a photograph, its shorter side resized to `side` unless it is shorter.
std::vector<uint8_t> decode(const FilePhotoStore& store, int64_t index, int64_t side, Entry& entry) {
  entry.short_name = store.short_name(index);
  entry.file = store.file(index);
  entry.label = store.labels[static_cast<size_t>(index)];
  entry.bytes = store.bytes(index);
  const std::string file = store.read(index);  // an error of this is not the photograph's
  std::vector<uint8_t> pixels;
  try {
    const ChooseCrop whole = [&](int64_t height, int64_t width) {
      const double scale = std::min(1.0, static_cast<double>(side) / static_cast<double>(std::min(height, width)));
      entry.height = std::max<int64_t>(1, std::llround(static_cast<double>(height) * scale));
      entry.width = std::max<int64_t>(1, std::llround(static_cast<double>(width) * scale));
      return Crop{.box = {.height = static_cast<double>(height), .width = static_cast<double>(width)}};
    };
    const PicturePart part = decode_part(bytes_of(file), entry.file, whole, side, side);
    std::vector<float> values(static_cast<size_t>(entry.height * entry.width * 3));
    resample(part.view(), part.region.box, entry.height, entry.width, false, values.data());
    for (float value : values) pixels.push_back(static_cast<uint8_t>(std::clamp(value + 0.5f, 0.0f, 255.0f)));
  } catch (const Error& error) {
    entry.height = entry.width = 0;
    entry.error = error.what();
  }
  return pixels;
}

std::string index_of(const std::string& key, const PhotoStore& train, const std::array<std::vector<Entry>, 2>& splits) {
  FieldWriter index;
  index.add(key);
  index.add(train.name);
  index.add(static_cast<int64_t>(train.class_names.size()));
  for (const std::string& name : train.class_names) index.add(name);
  for (const std::vector<Entry>& entries : splits) {
    index.add(static_cast<int64_t>(entries.size()));
    for (const Entry& entry : entries) {
      for (const std::string& value : {entry.short_name, entry.file, entry.error}) index.add(value);
      for (int64_t value : {entry.bytes, entry.label, entry.height, entry.width, entry.offset, entry.checksum})
        index.add(value);
    }
  }
  return index.bytes();
}

}  // namespace

void write_packed_photos(const std::string& path, const std::string& key, const FilePhotoStore& train,
                         const FilePhotoStore& test, int64_t side,
                         const std::function<void(int64_t done, int64_t total)>& progress) {
  constexpr int64_t at_once = 64;
  const auto count = [](const PhotoStore& store) { return static_cast<int64_t>(store.labels.size()); };
  const int64_t total = count(train) + count(test);
  write_file_atomically(path, [&](FileWriter& file) {
    file.write(magic);
    uint64_t offset = magic.size();
    int64_t done = 0;
    std::array<std::vector<Entry>, 2> splits;
    for (const FilePhotoStore* store : {&train, &test}) {
      std::vector<Entry>& entries = splits[store == &test];
      entries.resize(static_cast<size_t>(count(*store)));
      for (int64_t first = 0; first < count(*store); first += at_once) {
        const int64_t some = std::min(at_once, count(*store) - first);
        std::vector<std::vector<uint8_t>> pixels(static_cast<size_t>(some));
        parallel_for(some, 1, [&](int64_t begin, int64_t end) {
          for (int64_t i = begin; i < end; ++i)
            pixels[static_cast<size_t>(i)] = decode(*store, first + i, side, entries[static_cast<size_t>(first + i)]);
        });
        for (int64_t i = 0; i < some; ++i) {
          const std::vector<uint8_t>& bytes = pixels[static_cast<size_t>(i)];
          Entry& entry = entries[static_cast<size_t>(first + i)];
          entry.offset = static_cast<int64_t>(offset);
          entry.checksum = checksum_of(bytes.data(), bytes.size());
          file.write(bytes.data(), bytes.size());
          offset += bytes.size();
        }
        done += some;
        if (progress) progress(done, total);
      }
    }
    const std::string index = index_of(key, train, splits);
    const Trailer trailer{.offset = offset, .size = index.size(), .checksum = checksum_of(index.data(), index.size())};
    file.write(index);
    file.write(&trailer, sizeof trailer);
  });
}

std::optional<PackedPhotos> open_packed_photos(const std::string& path, const std::string& key) {
  std::error_code error;
  const uint64_t size = std::filesystem::file_size(path, error);
  if (error || size < magic.size() + sizeof(Trailer)) return std::nullopt;
  try {
    const auto reader = std::make_shared<const PartReader>(path);
    Trailer trailer;
    std::array<char, magic.size()> begin;
    reader->read(0, begin.data(), begin.size());
    if (std::string_view(begin.data(), begin.size()) != magic) return std::nullopt;
    const uint64_t end = size - sizeof trailer;
    reader->read(end, &trailer, sizeof trailer);
    if (trailer.offset > end || trailer.size != end - trailer.offset) return std::nullopt;
    std::string bytes(trailer.size, '\0');
    reader->read(trailer.offset, bytes.data(), bytes.size());
    if (checksum_of(bytes.data(), bytes.size()) != trailer.checksum) return std::nullopt;

    FieldReader index(bytes);
    if (index.string() != key) return std::nullopt;
    const std::string name = index.string();
    constexpr size_t least_class = sizeof(int64_t), least_entry = 9 * sizeof(int64_t);
    std::vector<std::string> classes(index.count(least_class));
    for (std::string& one : classes) one = index.string();
    const auto read_split = [&] {
      std::vector<Entry> entries(index.count(least_entry));
      for (Entry& entry : entries) {
        for (std::string* value : {&entry.short_name, &entry.file, &entry.error}) *value = index.string();
        entry.bytes = index.integer(INT64_MAX);
        entry.label = index.integer(static_cast<int64_t>(classes.size()) - 1);
        for (int64_t* value : {&entry.height, &entry.width}) *value = index.integer(largest_side);
        entry.offset = index.integer(static_cast<int64_t>(trailer.offset));
        entry.checksum = index.integer(INT64_MAX);
        const int64_t pixels = entry.height * entry.width;
        if ((pixels == 0) == entry.error.empty() || 3 * pixels > static_cast<int64_t>(trailer.offset) - entry.offset)
          throw Damaged();
      }
      auto store = std::make_shared<PackedStore>(reader, std::move(entries));
      store->name = name;
      store->class_names = classes;
      return store;
    };
    auto train = read_split();
    return PackedPhotos{std::move(train), read_split()};
  } catch (const Damaged&) {
  } catch (const Error&) {
  }
  return std::nullopt;
}

}  // namespace gradus
