// A procedural data set that needs no file: ten kinds of texture in random colors, places, sizes and polarities.
#pragma once

#include "data/dataset.h"

namespace gradus {

struct SyntheticOptions {
  int64_t train = 50000, test = 10000;
  uint64_t seed = 0;
};

/// "synthetic": 32 x 32 RGB images of ten classes, as many of each as possible. What tells the classes apart is local
/// structure, of which a linear function of the pixels finds some: one reaches 52 % where guessing reaches 10 %. Image
/// i of a split is a pure function of (seed, split, i), and the same on every machine.
DataSplits make_synthetic(const SyntheticOptions& options = {});

}  // namespace gradus
