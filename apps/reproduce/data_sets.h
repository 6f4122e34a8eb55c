// Where experiments get their images: the --data paths, the user's folders, or, at smoke scale, procedural images.
#pragma once

#include <string>
#include <vector>

#include "apps/reproduce/run.h"
#include "data/dataset.h"

namespace gradus::reproduce {

/// Looks for the data set in each path, in what lies directly in it, in $GRADUS_DATA and in the cache folder. Where it
/// is not found: procedural images of the same shape if `substitute`, an ErrorKind::io that says how to get it
/// otherwise.
DataSplits find_images(Images images, const std::vector<std::string>& paths, bool substitute);

}  // namespace gradus::reproduce
