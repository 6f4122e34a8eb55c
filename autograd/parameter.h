// A parameter: a leaf that says what it is, so that optimizers can treat it by its place in the network without knowing
// any layer type.
#pragma once

#include <string>
#include <vector>

#include "autograd/variable.h"

namespace gradus {

enum class LayerKind { linear, conv, norm, embedding, other };
enum class ParamRole { weight, bias, scale, other };

struct ParamInfo {
  std::string name = {};  ///< full path in the model, such as "layer1.0.conv1.weight"
  LayerKind layer = LayerKind::other;
  ParamRole role = ParamRole::other;
  int64_t out = 0, in = 0;        ///< output and input features or channels (in: per group)
  int64_t kernel[2] = {1, 1};     ///< height, width
};

class Parameter : public Var {
 public:
  Parameter() = default;
  Parameter(const Tensor& value, ParamInfo info) : Var(Var::leaf(value)), info_(std::move(info)) {}

  const ParamInfo& info() const { return info_; }
  const std::string& name() const { return info_.name; }
  /// The same leaf under another name.
  Parameter renamed(std::string name) const {
    Parameter p = *this;
    p.info_.name = std::move(name);
    return p;
  }

 private:
  ParamInfo info_;
};

enum class MatrixSide { spatial, in, out };

/// A tensor of a parameter's shape (the parameter, its gradient, its momentum) as a matrix [rows, n] whose columns are
/// what a preconditioner of that side mixes: spatial [out*in, kh*kw], in [out*kh*kw, in], out [in*kh*kw, out]. A view
/// where the strides allow it (spatial and, for linear layers, in), a copy otherwise.
Tensor matrix_view(const Tensor& tensor, const ParamInfo& info, MatrixSide side);

}  // namespace gradus
