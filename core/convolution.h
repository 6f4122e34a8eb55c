// Which algorithm convolutions use on this device: one setting for the whole process.
#pragma once

#include <string_view>

namespace gradus {

enum class ConvAlgorithm {
  direct,     ///< the plain sum of products; on a GPU, cuDNN
  winograd,   ///< minimal filtering wherever the shape allows it, direct elsewhere; its transforms mix the pixels of a
              ///< tile, so beside one that is infinite, or a million times as large, its neighbors lose their digits
  automatic,  ///< a fixed rule: a pure function of shapes, dtype, instruction set and threads, so equal runs stay equal
  measure     ///< times both on first sight of a shape and keeps the faster: runs may differ in the last bits; on a GPU
              ///< as automatic
};

void set_conv_algorithm(ConvAlgorithm algorithm);
ConvAlgorithm conv_algorithm();
/// "direct", "winograd", "auto" or "measure"; throws ErrorKind::value otherwise.
ConvAlgorithm parse_conv_algorithm(std::string_view name);

}  // namespace gradus
