// Sums of the columns of a matrix, and of the squares around their means. Private to core/cpu.
#pragma once

#include <vector>

#include "core/cpu/vector/kernels.h"

namespace gradus::cpu {

/// Adds to sums [n] those of rows of n floats, and to squares [n] the squares around the means of these rows. The means
/// of a first pass may have lost digits where they are large beside the deviations; the second finds what they lack.
inline void column_moments(const float* x, int64_t rows, int64_t n, double* sums, double* squares) {
  const auto& table = vector::kernels();
  const auto count = static_cast<double>(rows);
  std::vector<double> first(static_cast<size_t>(n), 0.0), rest(first);
  std::vector<float> center(first.size());
  table.reduce_columns[static_cast<int>(ReduceOp::sum)](x, rows, n, n, first.data());
  for (size_t c = 0; c < center.size(); ++c) center[c] = static_cast<float>(first[c] / count);
  table.centered_moments(x, center.data(), rows, n, rest.data(), squares);
  for (size_t c = 0; c < center.size(); ++c) {
    sums[c] += static_cast<double>(center[c]) * count + rest[c];
    squares[c] -= rest[c] * rest[c] / count;
  }
}

}  // namespace gradus::cpu
