// What a loader gives, as plain numbers that can be compared.
#pragma once

#include <cstdint>
#include <vector>

#include "data/loader.h"

namespace gradus {

struct BatchValues {
  std::vector<float> images;
  std::vector<int64_t> labels;
  friend bool operator==(const BatchValues&, const BatchValues&) = default;
};

/// An epoch's batches from batch `first` on.
inline std::vector<BatchValues> all_batches(const Loader& loader, int64_t epoch = 0, int64_t first = 0) {
  std::vector<BatchValues> all;
  for (const auto& [images, labels] : loader.epoch(epoch, first))
    all.push_back({images.to_vector<float>(), labels.to_vector<int64_t>()});
  return all;
}

}  // namespace gradus
