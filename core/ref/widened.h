// bfloat16 in the reference kernels: computed in float64 on widened copies, and rounded once.
#pragma once

#include "core/kernels.h"

namespace gradus::ref {

inline bool is_bfloat16(const Tensor& x) { return x.dtype() == DType::bfloat16; }

/// A float64 copy; an undefined tensor stays undefined.
inline Tensor widened(const Tensor& x) {
  if (!x.defined()) return x;
  Tensor wide = Tensor::empty_like(x, DType::float64);
  copy(x, wide);
  return wide;
}

/// Stands for an output of another dtype: a float64 tensor, whose values go there when the call is over.
class Narrowed {
 public:
  explicit Narrowed(Tensor& out) : out_(out), wide_(Tensor::empty_like(out, DType::float64)) {}
  ~Narrowed() { copy(wide_, out_); }
  Narrowed(const Narrowed&) = delete;
  Narrowed& operator=(const Narrowed&) = delete;
  operator Tensor&() { return wide_; }  // NOLINT(google-explicit-constructor): passed where a tensor is

 private:
  Tensor& out_;
  Tensor wide_;
};

}  // namespace gradus::ref
