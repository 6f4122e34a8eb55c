// Golden values of PyTorch (tests/golden/make_golden.py) and the integer generator that makes weights and inputs alike
// on both sides.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/file.h"
#include "core/tensor.h"

namespace golden {

/// `count` 64-bit integers: splitmix64 from the FNV-1a hash of the stream's name.
inline std::vector<uint64_t> integers(const std::string& stream, int64_t count) {
  uint64_t state = 0xCBF29CE484222325;
  for (char c : stream) state = (state ^ static_cast<unsigned char>(c)) * 0x100000001B3;
  std::vector<uint64_t> numbers(static_cast<size_t>(count));
  for (uint64_t& number : numbers) {
    uint64_t z = state += 0x9E3779B97F4A7C15;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    number = z ^ (z >> 31);
  }
  return numbers;
}

/// Uniform in [-bound, bound): 24 random bits, rounded to float32.
template <class T = float>
gradus::Tensor values(const std::string& stream, const gradus::Shape& shape, double bound = 1) {
  std::vector<T> numbers;
  for (uint64_t bits : integers(stream, gradus::numel(shape)))
    numbers.push_back(static_cast<float>((static_cast<double>(bits >> 40) * 0x1p-23 - 1) * bound));
  return gradus::Tensor::from(numbers, shape);
}

inline nlohmann::json read(const std::string& name) {
  const char* root = std::getenv("GRADUS_SOURCE_ROOT");
  return nlohmann::json::parse(gradus::read_file(std::string(root == nullptr ? "." : root) + "/tests/golden/" + name));
}

/// ||a - b|| / ||b||
inline double relative_distance(const std::vector<double>& a, const std::vector<double>& b) {
  double difference = 0, size = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    difference += (a[i] - b[i]) * (a[i] - b[i]);
    size += b[i] * b[i];
  }
  return std::sqrt(difference / size);
}

}  // namespace golden
