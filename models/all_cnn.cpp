// All-CNN-C.
#include "models/all_cnn.h"

#include "layers/init.h"

namespace gradus {

AllCnn::AllCnn(const AllCnnOptions& options) {
  const Padding inner = options.padding == AllCnnPadding::same ? Padding::same : Padding(1);
  const Padding seventh = options.padding == AllCnnPadding::every ? 1 : 0;
  int64_t count = 0, in = options.channels;
  const auto conv = [&](int64_t out, int64_t kernel, int64_t stride, Padding padding) {
    stages_.push_back(&child(
        "conv" + std::to_string(++count),
        Conv2d(in, out, {.kernel = kernel, .stride = stride, .padding = padding, .activation = Activation::relu})));
    in = out;
  };
  const auto drop = [&](const char* name, double p) {
    if (options.dropout) stages_.push_back(&child(name, Dropout(p)));
  };

  drop("drop_input", 0.2);
  conv(96, 3, 1, inner);
  conv(96, 3, 1, inner);
  conv(96, 3, 2, inner);
  drop("drop1", 0.5);
  conv(192, 3, 1, inner);
  conv(192, 3, 1, inner);
  conv(192, 3, 2, inner);
  drop("drop2", 0.5);
  conv(192, 3, 1, seventh);
  conv(192, 1, 1, 0);
  conv(options.classes, 1, 1, 0);
  stages_.push_back(&child("pool", GlobalAvgPool2d()));
  init::initialize(*this, init::Scheme::xavier_uniform);
}

Var AllCnn::forward(const Var& x) {
  Var y = x;
  for (Module* stage : stages_) y = (*stage)(y);
  return y;
}

}  // namespace gradus
