// Where a random crop of a padded image lies: a pure function of a key, the same on every device.
#pragma once

#include <cstdint>

#include "core/random.h"

namespace gradus {

/// Random crops of images of one size: each is padded with black, cut to its old size, and mirrored half of the time.
struct RandomCrop {
  int64_t padding = 0;  ///< pixels on every side; 0: images stay as they are
  RandomKey key = {};   ///< image i has key {seed, stream, offset + (i << 32)}

  GRADUS_ANYWHERE RandomKey key_of(int64_t image) const {
    return {key.seed, key.stream, key.offset + (static_cast<uint64_t>(image) << 32)};
  }
};

/// Where the crop begins in the padded image, and whether it is mirrored then.
struct Placement {
  int64_t top = 0, left = 0;
  bool flip = false;
};

GRADUS_ANYWHERE inline Placement draw_placement(const RandomKey& key, int64_t padding) {
  if (padding == 0) return {};
  // Scaling 32 random bits to nine values (for a padding of 4) favors none by more than 2^-29.
  const auto draws = philox(key);
  const auto values = static_cast<uint64_t>(2 * padding + 1);
  return {static_cast<int64_t>(draws[0] * values >> 32), static_cast<int64_t>(draws[1] * values >> 32),
          (draws[2] & 1) != 0};
}

}  // namespace gradus
