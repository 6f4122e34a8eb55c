// Sums of the columns of a matrix, and of the squares around their means. Private to core/cpu.
#pragma once

#include <algorithm>
#include <vector>

#include "core/cpu/vector/kernels.h"
#include "core/parallel.h"

namespace gradus::cpu {

/// body(begin, end) for stretches of n columns, on several threads where `rows` rows are work enough.
template <class Body>
void for_each_columns(int64_t rows, int64_t n, Body body) {
  constexpr int64_t columns = 512, enough = 32768;
  parallel_for((n + columns - 1) / columns, std::max<int64_t>(1, enough / (rows * columns)),
               [&](int64_t begin, int64_t end) {
                 for (int64_t i = begin; i < end; ++i) body(i * columns, std::min((i + 1) * columns, n));
               });
}

/// Of x [rows, n], at least one row; each adds up in the order of the rows.
inline std::vector<double> column_sums(const double* x, int64_t rows, int64_t n) {
  std::vector<double> sums(static_cast<size_t>(n));
  for_each_columns(rows, n, [&](int64_t begin, int64_t end) {
    double* to = sums.data();
    std::copy(x + begin, x + end, to + begin);
    for (int64_t row = 1; row < rows; ++row)
      for (int64_t c = begin; c < end; ++c) to[c] += x[row * n + c];
  });
  return sums;
}

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
