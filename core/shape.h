// Shapes and strides: up to eight int64 values held inline, and the arithmetic on them.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <iosfwd>
#include <span>
#include <string>
#include <string_view>

namespace gradus {

inline constexpr int max_rank = 8;

/// A short list of integers (extents, strides, dimension numbers) without heap memory. More than max_rank throws.
class Dims {
 public:
  Dims() = default;
  Dims(std::initializer_list<int64_t> values) : Dims(std::span<const int64_t>(values.begin(), values.size())) {}
  explicit Dims(std::span<const int64_t> values) {
    for (int64_t v : values) push_back(v);
  }
  /// `rank` copies of `value`.
  static Dims filled(int rank, int64_t value) {
    Dims d;
    for (int i = 0; i < rank; ++i) d.push_back(value);
    return d;
  }

  int rank() const { return rank_; }
  size_t size() const { return static_cast<size_t>(rank_); }
  bool empty() const { return rank_ == 0; }
  int64_t& operator[](int i) { return values_[i]; }
  int64_t operator[](int i) const { return values_[i]; }
  int64_t back() const { return values_[rank_ - 1]; }
  int64_t* begin() { return values_; }
  int64_t* end() { return values_ + rank_; }
  const int64_t* begin() const { return values_; }
  const int64_t* end() const { return values_ + rank_; }

  void push_back(int64_t value) {
    if (rank_ == max_rank) too_many();
    values_[rank_++] = value;
  }
  void pop_back() { --rank_; }
  void insert(int at, int64_t value) {
    push_back(value);
    for (int i = rank_ - 1; i > at; --i) values_[i] = values_[i - 1];
    values_[at] = value;
  }
  void erase(int at) {
    for (int i = at; i + 1 < rank_; ++i) values_[i] = values_[i + 1];
    --rank_;
  }

  friend bool operator==(const Dims& a, const Dims& b) {
    if (a.rank_ != b.rank_) return false;
    for (int i = 0; i < a.rank_; ++i)
      if (a.values_[i] != b.values_[i]) return false;
    return true;
  }

 private:
  [[noreturn]] static void too_many();

  int64_t values_[max_rank] = {};
  int rank_ = 0;
};

using Shape = Dims;
using Strides = Dims;

/// [64,3,32,32]
std::string to_string(const Dims& dims);
std::ostream& operator<<(std::ostream& out, const Dims& dims);

/// Product of the extents; 1 for rank 0.
inline int64_t numel(const Shape& shape) {
  int64_t n = 1;
  for (int64_t extent : shape) n *= extent;
  return n;
}
/// Row-major strides.
Strides contiguous_strides(const Shape& shape);
/// Strides of a rank-4 tensor in logical NCHW order whose memory order is NHWC.
Strides channels_last_strides(const Shape& shape);
/// NumPy's rule: align at the right, extents equal or 1. Throws ErrorKind::shape naming `op`.
Shape broadcast(std::string_view op, const Shape& a, const Shape& b);
/// Maps a possibly negative dimension number to [0, rank). Throws ErrorKind::shape naming `op`.
int normalize_dim(std::string_view op, int64_t dim, int rank);

}  // namespace gradus
