// MNIST and the data sets in its format (LeCun et al., 1998): IDX files, plain or .gz.
#pragma once

#include <string>
#include <string_view>

#include "data/dataset.h"

namespace gradus {

/// The four files train|t10k-images-idx3-ubyte and train|t10k-labels-idx1-ubyte, each plain or .gz, from a folder or an
/// archive of them. One channel, ten classes. Throws ErrorKind::io naming the file: missing, cut, a wrong magic number,
/// a number of bytes that its header does not say, a label above 9, numbers of images and labels that differ, or files
/// in more than one folder, as of MNIST and FashionMNIST.
DataSplits read_mnist(const std::string& path);

/// Whether a file's base name is one that read_mnist() reads.
bool is_mnist_name(std::string_view name);

}  // namespace gradus
