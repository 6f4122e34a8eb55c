// A data set small enough to train on within a test: folders of 16x16 pictures in three colors, with noise.
#pragma once

#include "core/random.h"
#include "tests/data/temporary_folder.h"

namespace gradus {

/// A binary PPM (3 channels) or PGM (1 channel) of noise around one level per channel.
inline std::string noisy_picture(int side, int channels, int bright_channel, uint64_t seed) {
  Generator generator(seed);
  std::string file = (channels == 3 ? "P6 " : "P5 ") + std::to_string(side) + " " + std::to_string(side) + " 255\n";
  for (int i = 0; i < side * side * channels; ++i) {
    const int level = i % channels == bright_channel ? 130 : 100;
    file += static_cast<char>(level + static_cast<int>(generator.below(100)));
  }
  return file;
}

/// Three classes of 8 pictures to train on and 4 to test with, and a cache of its own.
class TinyImages {
 public:
  TinyImages() : cache_("GRADUS_CACHE", folder_ / "cache") {
    const char* classes[] = {"red", "green", "blue"};
    for (int k = 0; k < 3; ++k) {
      for (int i = 0; i < 12; ++i) {
        const std::string split = i < 8 ? "train/" : "test/";
        folder_.write("data/" + split + classes[k] + "/" + std::to_string(i) + ".ppm",
                      noisy_picture(16, 3, k, static_cast<uint64_t>(100 * k + i)));
      }
    }
  }
  std::string data() const { return folder_ / "data"; }
  /// A path beside the data.
  std::string operator/(std::string_view name) const { return folder_ / name; }
  const TemporaryFolder& folder() const { return folder_; }

 private:
  TemporaryFolder folder_;
  ScopedVariable cache_;
};

}  // namespace gradus
