#include "core/conv_key.h"

namespace gradus {

const char* name(ConvPass pass) {
  switch (pass) {
    case ConvPass::forward: return "conv2d";
    case ConvPass::grad_input: return "conv2d_grad_input";
    case ConvPass::grad_weight: break;
  }
  return "conv2d_grad_weight";
}

size_t ConvKeyHash::operator()(const ConvKey& key) const {
  uint64_t hash = 0xcbf29ce484222325;  // FNV-1a over 64-bit words
  const auto mix = [&](int64_t value) { hash = (hash ^ static_cast<uint64_t>(value)) * 0x100000001b3; };
  mix(static_cast<int64_t>(key.pass) * 4 + key.bias * 2 + key.relu);
  mix(static_cast<int64_t>(key.dtype) * 256 + static_cast<int64_t>(key.weight));
  mix(key.variant);
  for (const Shape* shape : {&key.x, &key.w, &key.y})
    for (int64_t extent : *shape) mix(extent);
  for (int d = 0; d < 2; ++d) mix(key.spec.stride[d]), mix(key.spec.dilation[d]);
  for (int64_t side : key.spec.padding) mix(side);
  mix(key.spec.groups);
  return hash ^ (hash >> 32);
}

}  // namespace gradus
