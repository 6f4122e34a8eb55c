// Trees of image files: SPLIT/CLASS/FILE, in a folder or an archive, decoded once and then kept packed in the user's
// cache.
#pragma once

#include <string>

#include "data/dataset.h"

namespace gradus {

struct ImageFolderOptions {
  /// 0: what the first image has, 1 or 3, and every other must have the same. 1 or 3: images are converted.
  int64_t channels = 0;
  /// 0: the height and width of the first image, and every other must have the same. Otherwise the shorter side is
  /// resized to this, and the middle square of this side is kept.
  int64_t side = 0;
  /// Keep the decoded images in cache_folder(), and look for them there.
  bool cache = true;
};

/// train/CLASS/... and test/CLASS/... or val/CLASS/... (the test split may be absent, and is then empty), at the top or
/// in one folder of `path`. The classes are the sorted folder names of train; files are sorted by name within their
/// class, as deep as they lie; files that are not PNG, JPEG, BMP, PPM or PGM by name are passed over, pictures among
/// them with a note. 32x32 images in CIFAR-10's ten classes are named "CIFAR-10 (JPEG q75)" after their format, others
/// after `path`. Throws ErrorKind::io naming the file for one that does not decode, whose channels or size are not as
/// the options say, or that lies in another folder of `path` than others.
DataSplits read_image_folder(const std::string& path, const ImageFolderOptions& options = {});

/// Whether a file name, relative to the root, lies as read_image_folder() expects.
bool is_image_folder_name(const std::string& name);

}  // namespace gradus
