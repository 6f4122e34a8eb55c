// Without oneDNN there is nothing to compare with.
#include "apps/bench/onednn_conv.h"

namespace gradus::apps::bench {

std::vector<Primitive> onednn_primitives(Pass, const Shape&, const Shape&, const Shape&, const Conv2dSpec&, DType) {
  return {};
}

}  // namespace gradus::apps::bench
