// A parameter: a leaf that says what it is, so that optimizers can treat it by its place in the network without knowing
// any layer type.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "autograd/variable.h"

namespace gradus {

enum class LayerKind { linear, conv, conv_transpose, norm, embedding, other };
enum class ParamRole { weight, bias, scale, other };

struct ParamInfo {
  std::string name = {};  ///< full path in the model, such as "layer1.0.conv1.weight"
  LayerKind layer = LayerKind::other;
  ParamRole role = ParamRole::other;
  int64_t out = 0, in = 0;     ///< output and input features or channels (in: per group, of all kinds of convolution)
  int64_t kernel[2] = {1, 1};  ///< height, width
  int64_t groups = 1;          ///< of a convolution
};

/// Sees what goes into the layer of a parameter while the model trains.
class InputObserver {
 public:
  virtual ~InputObserver() = default;
  virtual void see(const Tensor& input) = 0;
};

class Parameter : public Var {
 public:
  Parameter() = default;
  Parameter(const Tensor& value, ParamInfo info);

  const ParamInfo& info() const { return info_; }
  const std::string& name() const { return info_.name; }
  /// The same leaf under another name.
  Parameter renamed(std::string name) const {
    Parameter p = *this;
    p.info_.name = std::move(name);
    return p;
  }

  /// For layers, of their weight, in training: x is what the weight is applied to, [..., in] or [N, C, H, W]. Nobody
  /// sees it under NoGrad, as no gradient will come of it.
  void show_input(const Var& x) const {
    if (!observers_->empty() && recording()) show(x.value());
  }
  /// The observer sees every input from now on, as long as somebody else holds it.
  void observe_input(const std::shared_ptr<InputObserver>& observer) const;

 private:
  using Observers = std::vector<std::weak_ptr<InputObserver>>;
  void show(const Tensor& x) const;

  ParamInfo info_;
  std::shared_ptr<Observers> observers_;  ///< of all copies of this leaf
};

// A parameter is changed by an optimizer or set_value(): p += x would make of it a variable that nothing trains.
template <class T>
void operator+=(Parameter&, const T&) = delete;
template <class T>
void operator-=(Parameter&, const T&) = delete;
template <class T>
void operator*=(Parameter&, const T&) = delete;
template <class T>
void operator/=(Parameter&, const T&) = delete;

enum class MatrixSide { spatial, in, out };

/// A tensor of a parameter's shape (the parameter, its gradient, its momentum) as a matrix [rows, n] whose columns are
/// what a preconditioner of that side mixes: spatial [out*in, kh*kw], in [out*kh*kw, in], out [in*kh*kw, out]. The rows
/// of spatial are in the tensor's own order, which for a transposed convolution is [in, out]. A view where the strides
/// allow it (spatial and, for linear layers, in), a copy otherwise.
Tensor matrix_view(const Tensor& tensor, const ParamInfo& info, MatrixSide side);

}  // namespace gradus
