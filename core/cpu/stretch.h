// Stretches of dense tensors as floats: where they lie if they are float32, through a buffer if they are bfloat16. So
// the vector loops serve both. Private to core/cpu.
#pragma once

#include "core/cpu/vector/kernels.h"
#include "core/tensor.h"

namespace gradus::cpu {

/// Whether the vector loops, which know floats alone, compute with elements of this dtype.
inline bool in_floats(const Tensor& x) { return x.dtype() == DType::float32 || x.dtype() == DType::bfloat16; }

namespace detail {

inline Storage buffer_for(const Tensor& x, int64_t count) {
  return x.dtype() == DType::float32 ? Storage() : Storage::allocate(static_cast<size_t>(count) * sizeof(float));
}

}  // namespace detail

/// Elements [begin, begin + count) in the order of memory, to read.
class ReadFloats {
 public:
  ReadFloats(const Tensor& x, int64_t begin, int64_t count) : buffer_(detail::buffer_for(x, count)) {
    if (!buffer_) {
      data_ = static_cast<const float*>(x.raw()) + begin;
      return;
    }
    auto* wide = static_cast<float*>(buffer_.data());
    vector::kernels().widen(static_cast<const bfloat16*>(x.raw()) + begin, wide, count);
    data_ = wide;
  }
  operator const float*() const { return data_; }  // NOLINT(google-explicit-constructor)

 private:
  Storage buffer_;
  const float* data_;
};

/// The same to write: they are rounded and stored when this is destroyed.
class WriteFloats {
 public:
  WriteFloats(const Tensor& x, int64_t begin, int64_t count) : buffer_(detail::buffer_for(x, count)), count_(count) {
    if (buffer_) {
      data_ = static_cast<float*>(buffer_.data());
      target_ = static_cast<bfloat16*>(x.raw()) + begin;
    } else {
      data_ = static_cast<float*>(x.raw()) + begin;
    }
  }
  ~WriteFloats() {
    if (target_) vector::kernels().narrow(data_, target_, count_);
  }
  WriteFloats(const WriteFloats&) = delete;
  WriteFloats& operator=(const WriteFloats&) = delete;
  operator float*() const { return data_; }  // NOLINT(google-explicit-constructor)

 private:
  Storage buffer_;
  int64_t count_;
  float* data_;
  bfloat16* target_ = nullptr;
};

}  // namespace gradus::cpu
