// Where experiments get their images: the --data paths, the user's folders, or, at smoke scale, procedural images.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "apps/reproduce/run.h"
#include "data/loader.h"

namespace gradus::reproduce {

/// The images of an experiment, whether they lie in memory or are photographs in files.
struct ImageData {
  std::string name;
  apps::Record record;  ///< checksums, and the name where that is the data set's own
  int64_t train_images = 0, test_images = 0;
  DataSplits splits;               ///< empty where they are photographs
  std::vector<std::string> notes;  ///< what the user should be told, a line each
  /// Batches for a training, or for its tests.
  std::function<Loader(const Run& run, bool training)> loader;
};

/// Why find_images() would find none, as its error says; empty where it finds some. Opens nothing.
std::string missing_images(Images images, const std::vector<std::string>& paths, bool substitute);

/// Looks for the data set in each path, in what lies directly in it, in $GRADUS_DATA and in the cache folder. Where it
/// is not found: procedural images of the same shape if `substitute`, an ErrorKind::io that says how to get it
/// otherwise.
ImageData find_images(Images images, const std::vector<std::string>& paths, bool substitute);

}  // namespace gradus::reproduce
