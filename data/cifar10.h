// CIFAR-10 in its binary version (Krizhevsky, 2009): six files of 10,000 records of one label byte and 3072 pixel
// bytes.
#pragma once

#include <string>
#include <string_view>

#include "data/dataset.h"

namespace gradus {

/// airplane, automobile, ..., truck, in the order of the labels.
const std::vector<std::string>& cifar10_classes();

/// From the folder cifar-10-batches-bin, its parent, or an archive of it. Throws ErrorKind::io naming the file for one
/// that is missing, not exactly 30,730,000 bytes long or in another folder than the first, and naming file and record
/// for a label above 9.
DataSplits read_cifar10(const std::string& path);

/// Whether a file's base name is one of the six that read_cifar10() reads.
bool is_cifar10_name(std::string_view name);

}  // namespace gradus
