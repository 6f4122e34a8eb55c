// Tensors as NumPy's .npy files: numpy.load() reads what save_npy() wrote, and load_npy() what numpy.save() wrote.
#pragma once

#include <string>

#include "core/tensor.h"

namespace gradus {

/// Replaces `path` atomically by a file of format version 1.0, row-major. Throws ErrorKind::dtype for bfloat16, which
/// NumPy lacks, ErrorKind::io where writing fails.
void save_npy(const std::string& path, const Tensor& tensor);

/// Reads format versions 1.0 and 2.0, in C or Fortran order, little-endian; float16 becomes float32 of equal value.
/// Throws ErrorKind::io with one line that names the file and what is wrong with it.
Tensor load_npy(const std::string& path);

}  // namespace gradus
