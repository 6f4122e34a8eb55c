// Data sets by name or path: what `--data` takes.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "data/download.h"
#include "data/synthetic.h"

namespace gradus {

struct OpenOptions {
  bool download = true;              ///< may "auto" download CIFAR-10?
  bool synthetic_if_absent = false;  ///< "auto" that finds nothing and may not download gives synthetic, not an error
  SyntheticOptions synthetic = {};
  std::function<bool(const DownloadProgress&)> progress = {};
  /// Where cifar-10-binary.tar.gz is loaded from.
  std::vector<std::string> urls = {"https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"};
};

/// Opens a data set:
/// - "synthetic": make_synthetic();
/// - "auto": CIFAR-10 from $GRADUS_DATA (a data set, or a folder that holds cifar-10-batches-bin,
///   cifar-10-binary.tar.gz, or any archive or folder beginning with "cifar10" or "cifar-10"), else in the same way
///   from cache_folder(), else by download into it;
/// - a path: a folder or archive of CIFAR-10's binary version, of MNIST's IDX files, or of image files, told apart by
///   the names of the files in it.
/// Throws ErrorKind::io naming what was looked for, or the several kinds of data that lie in a folder, and the remedy.
DataSplits open_dataset(const std::string& spec, const OpenOptions& options = {});

}  // namespace gradus
