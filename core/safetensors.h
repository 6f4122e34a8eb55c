// Named tensors with string metadata in one file, in the safetensors format: weights and checkpoints that Python reads
// and writes too.
#pragma once

#include <map>
#include <string>

#include "core/tensor.h"

namespace gradus::safetensors {

struct Content {
  std::map<std::string, Tensor> tensors;
  std::map<std::string, std::string> metadata;
};

/// Replaces `path` atomically; equal arguments give equal bytes. Any dtype, rank and layout (stored row-major). Throws
/// ErrorKind::value for an undefined tensor or a name that the format cannot hold, ErrorKind::io where writing fails.
void save(const std::string& path, const std::map<std::string, Tensor>& tensors,
          const std::map<std::string, std::string>& metadata = {});

/// Reads a whole file, after checking that its header describes every byte of it exactly once. F16 becomes float32 of
/// equal value. Throws ErrorKind::io with one line that names the file, what is wrong, and where.
Content load(const std::string& path);

}  // namespace gradus::safetensors
