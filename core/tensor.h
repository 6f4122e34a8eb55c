// The tensor: a value-semantics handle to strided memory. Operations on tensors are free functions: see core/ops.h.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <span>
#include <vector>

#include "core/allocator.h"
#include "core/dtype.h"
#include "core/shape.h"

namespace gradus {

/// Memory order of a new tensor. The logical order of dimensions is always NCHW / OIHW; only the strides differ.
enum class Layout : uint8_t { contiguous, channels_last };

/// Copies share memory. Rank at most 8. An undefined tensor (default-constructed) stands for "none".
class Tensor {
 public:
  Tensor() = default;
  /// A view of `storage`; `offset` and `strides` count elements.
  Tensor(Storage storage, int64_t offset, const Shape& shape, const Strides& strides, DType dtype)
      : storage_(std::move(storage)), offset_(offset), shape_(shape), strides_(strides), dtype_(dtype) {}

  /// Uninitialized. channels_last needs rank 4.
  static Tensor empty(const Shape& shape, DType dtype = DType::float32, Layout layout = Layout::contiguous);
  /// Uninitialized, with the memory order of `like` where that is dense (row-major otherwise).
  static Tensor empty_like(const Tensor& like);
  static Tensor empty_like(const Tensor& like, DType dtype);
  static Tensor full(const Shape& shape, double value, DType dtype = DType::float32);
  static Tensor zeros(const Shape& shape, DType dtype = DType::float32) { return full(shape, 0, dtype); }
  static Tensor ones(const Shape& shape, DType dtype = DType::float32) { return full(shape, 1, dtype); }
  /// The n x n identity.
  static Tensor eye(int64_t n, DType dtype = DType::float32);
  /// 0, 1, ..., n-1.
  static Tensor arange(int64_t n, DType dtype = DType::int64);
  /// A copy of row-major host values. The dtype is that of T: {1, 2} gives int32 and {1., 2.} float64, so write
  /// from<float> or, for labels, from<int64_t>. Throws ErrorKind::shape where the counts differ.
  template <class T>
  static Tensor from(std::span<const T> values, const Shape& shape);
  template <class T>
  static Tensor from(const std::vector<T>& values, const Shape& shape) {
    return from(std::span<const T>(values), shape);
  }
  template <class T>
  static Tensor from(std::initializer_list<T> values, const Shape& shape) {
    return from(std::span<const T>(values.begin(), values.size()), shape);
  }

  bool defined() const { return static_cast<bool>(storage_); }
  const Shape& shape() const { return shape_; }
  const Strides& strides() const { return strides_; }
  DType dtype() const { return dtype_; }
  int rank() const { return shape_.rank(); }
  /// Extent of a dimension; negative counts from the end.
  int64_t size(int64_t dim) const { return shape_[normalize_dim("size", dim, rank())]; }
  int64_t numel() const { return gradus::numel(shape_); }
  int64_t offset() const { return offset_; }
  const Storage& storage() const { return storage_; }

  bool is_contiguous() const;
  /// Rank 4 with NHWC memory order.
  bool is_channels_last() const;
  /// Every element of a gapless memory range exactly once, in any order of dimensions: elementwise kernels may treat
  /// two tensors with equal dense strides as flat arrays.
  bool is_dense() const;

  /// Pointer to the first element, in device memory. Throws ErrorKind::dtype if T is not the element type. Whoever
  /// writes through it tells the tape by bump_version().
  template <class T>
  T* data() const;
  /// The same without a check, for kernels.
  void* raw() const { return static_cast<char*>(storage_.data()) + offset_ * static_cast<int64_t>(size_of(dtype_)); }

  /// Row-major copy on the host.
  template <class T>
  std::vector<T> to_vector() const;
  /// Row-major copy of the elements' bytes on the host, and the inverse, which reads numel(shape) elements.
  std::vector<char> to_bytes() const;
  static Tensor from_bytes(const void* bytes, const Shape& shape, DType dtype);
  /// The value of a one-element tensor of any dtype.
  double item() const;

  /// Counts in-place writes to the memory (shared by all views).
  uint64_t version() const { return storage_.version(); }
  void bump_version() const { storage_.bump_version(); }

 private:
  Storage storage_;
  int64_t offset_ = 0;
  Shape shape_;
  Strides strides_;
  DType dtype_ = DType::float32;
};

/// Prints dtype and shape, and the values where they are few.
std::ostream& operator<<(std::ostream& out, const Tensor& tensor);

}  // namespace gradus
