// What operations and kernels are told beside tensors: which function, which geometry, which step of an optimizer.
#pragma once

#include <cstdint>

#include "core/anywhere.h"
#include "core/tensor.h"

namespace gradus {

// Elementwise operations, listed in core/elementwise.inc with what each accepts.
#define GRADUS_UNARY(name, accepts) name,
enum class UnaryOp : uint8_t {
#include "core/elementwise.inc"
};
#undef GRADUS_UNARY

#define GRADUS_BINARY(name, text, accepts) name,
#define GRADUS_COMPARISON GRADUS_BINARY
enum class BinaryOp : uint8_t {
#include "core/elementwise.inc"
};
#undef GRADUS_COMPARISON
#undef GRADUS_BINARY

enum class ReduceOp : uint8_t { sum, max, min };

/// Height and width; one number stands for both.
struct Extent2d {
  int64_t height, width;
  constexpr Extent2d(int64_t both) : height(both), width(both) {}  // NOLINT(google-explicit-constructor): `.kernel = 3`
  constexpr Extent2d(int64_t height, int64_t width) : height(height), width(width) {}
  GRADUS_ANYWHERE constexpr int64_t& operator[](int i) { return i == 0 ? height : width; }
  GRADUS_ANYWHERE constexpr int64_t operator[](int i) const { return i == 0 ? height : width; }
  friend bool operator==(const Extent2d&, const Extent2d&) = default;
};

/// Top, left, bottom, right; two numbers stand for height and width, one for all.
class Sides {
 public:
  constexpr Sides(int64_t all) : Sides(all, all) {}  // NOLINT(google-explicit-constructor): `.padding = 1`
  constexpr Sides(int64_t height, int64_t width) : Sides(height, width, height, width) {}
  constexpr Sides(int64_t top, int64_t left, int64_t bottom, int64_t right) : sides_{top, left, bottom, right} {}
  GRADUS_ANYWHERE constexpr int64_t& operator[](int i) { return sides_[i]; }
  GRADUS_ANYWHERE constexpr int64_t operator[](int i) const { return sides_[i]; }
  constexpr int64_t* begin() { return sides_; }
  constexpr int64_t* end() { return sides_ + 4; }
  constexpr const int64_t* begin() const { return sides_; }
  constexpr const int64_t* end() const { return sides_ + 4; }
  friend bool operator==(const Sides&, const Sides&) = default;

 private:
  int64_t sides_[4];
};

/// Geometry of a 2-D convolution; weight [O, I/groups, kh, kw].
struct Conv2dSpec {
  Extent2d stride = 1;
  Sides padding = 0;
  Extent2d dilation = 1;
  int64_t groups = 1;
  friend bool operator==(const Conv2dSpec&, const Conv2dSpec&) = default;
};

/// Geometry of a transposed 2-D convolution; weight [I, O/groups, kh, kw].
struct ConvTranspose2dSpec {
  Extent2d stride = 1;
  Sides padding = 0;            ///< taken away from the result
  Extent2d output_padding = 0;  ///< added to the result at its bottom and right, less than the stride
  Extent2d dilation = 1;
  int64_t groups = 1;
  friend bool operator==(const ConvTranspose2dSpec&, const ConvTranspose2dSpec&) = default;

  /// That of the convolution from the result back to the input.
  Conv2dSpec convolution() const {
    return {.stride = stride, .padding = padding, .dilation = dilation, .groups = groups};
  }
};

/// Geometry of a 2-D pooling window. Padding never wins a maximum; averages divide by kh * kw, or by the number of
/// elements inside the input where count_padding is false. The stride does not follow the kernel, as a layer's does.
struct Pool2dSpec {
  Extent2d kernel = 2;
  Extent2d stride = 2;
  Sides padding = 0;
  bool count_padding = true;
  friend bool operator==(const Pool2dSpec&, const Pool2dSpec&) = default;
};

/// Coefficients of one step of Adam: m = beta1 m + (1 - beta1) g, v = beta2 v + (1 - beta2) g^2.
struct AdamSpec {
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double correction1 = 1;  ///< 1 - beta1^t
  double correction2 = 1;  ///< 1 - beta2^t
};

/// Coefficients of one step of the rules that divide by the root of squared gradients, RMSProp and AdaGrad:
/// s = keep s + add u^2, w = factor u / (sqrt(s) + eps).
struct SquaresSpec {
  double keep = 1, add = 1;
  double eps = 1e-8;
  double factor = 1;
};

/// A rule's share of a ParameterUpdate: from u to a direction d, then theta <- (1 - lr decay) theta - lr d.
struct RuleUpdate {
  enum class Kind : uint8_t {
    plain,      ///< d = u
    momentum,   ///< v = momentum v + u, d = v
    nesterov,   ///< the same v, d = u + momentum v
    adam,       ///< m and v as in AdamSpec, d = (m / correction1) / (sqrt(v / correction2) + eps)
    curvature,  ///< the same with h^2, or |h|, instead of the squared gradient, and with or without the root
    squares     ///< s and w as in SquaresSpec, d = w; where there is a v, v = momentum v + w, d = v
  };
  Kind kind = Kind::plain;
  double lr = 0, decay = 0;
  double momentum = 0;
  AdamSpec adam = {};
  SquaresSpec squares = {};
  Tensor* first = nullptr;               ///< v, or Adam's first moment
  Tensor* second = nullptr;              ///< Adam's second moment, or s
  const Tensor* curvature = nullptr;     ///< h
  bool magnitudes = false, root = true;  ///< of curvature: |h| for h^2; sqrt(v / correction2) + eps, or no root
};

/// The longest rows n that update() is sure to take in one pass over memory; longer ones are multiplied by P on their
/// own.
inline constexpr int64_t longest_updated_row = 64;

/// One parameter's whole step, in this order: x = clamp(factor g, -limit, limit) + decay theta, kept where asked for;
/// u = P x + late_decay theta; the rule. Tensors that are null take no part. All but p and correlation are dense and in
/// the memory order of theta; "rows" are n consecutive elements there.
struct ParameterUpdate {
  Tensor* value = nullptr;  ///< theta
  const Tensor* gradient = nullptr;
  double factor = 1, limit = 0, decay = 0, late_decay = 0;  ///< limit 0: none
  Tensor* kept = nullptr;                                   ///< receives x
  const Tensor* previous = nullptr;                         ///< the x of the step before
  const Tensor* correlated = nullptr;                       ///< with previous, in place of x; then the rule is plain
  const Tensor* p = nullptr;                                ///< P for each row: contiguous [n, n]
  Tensor* correlation = nullptr;  ///< receives C [n, n], the sum over rows of x previous^T; with p and previous
  Tensor* diagonal = nullptr;     ///< P = diag(m) instead, learned here, after its use, where previous is given:
  double hyper_factor = -1;       ///< m takes a step by `hyper` along hyper_factor x previous
  RuleUpdate hyper = {};
  RuleUpdate rule = {};
};

/// One learned matrix M [n, n] of a preconditioner and the P that follows from it: M takes a step of `rule` along
/// factor h, h the gradient with respect to M of what has the gradient C with respect to P; then P is made anew. All
/// are contiguous. Where the same update() makes C, a GPU may leave it in parts, whose sum is written here.
struct MatrixUpdate {
  enum class Form : uint8_t {
    product,       ///< P = M M^T, h = (C + C^T) M
    product_plus,  ///< P = I + M M^T, the same h
    symmetric,     ///< P = (M + M^T) / 2, h = (C + C^T) / 2
    plain          ///< P = M, h = C
  };
  Form form = Form::plain;
  double norm = 0;  ///< where positive, this P is Q, and P = k Q with k = norm / |Q|_F
  bool differentiate_norm =
      false;                 ///< then C becomes what k is for M too, k (C - <Q, C> Q / |Q|^2); otherwise it stays C
  Tensor* matrix = nullptr;  ///< M
  const Tensor* correlation = nullptr;  ///< C [n, n]
  Tensor* p = nullptr;                  ///< receives P; null: nobody asks for it
  double factor = 1;
  RuleUpdate rule = {};
};

}  // namespace gradus
