// Layers made of layers.
#include "layers/container.h"

#include "core/error.h"

namespace gradus {

Var Sequential::forward(const Var& x) {
  Var y = x;
  for (const auto& [name, layer] : children()) y = (*layer)(y);
  return y;
}

Var Residual::forward(const Var& x) {
  const Var y = body_(x);
  const Var skip = shortcut_ == nullptr ? x : (*shortcut_)(x);
  if (y.shape() != skip.shape())
    fail(ErrorKind::shape, "Residual", "the body gives ", y.shape(), ", but the shortcut gives ", skip.shape());
  return activate(activation_, y + skip);
}

}  // namespace gradus
