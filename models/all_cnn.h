// All-CNN-C (Springenberg et al. 2014), the nine-layer convolutional network of the FOP paper's CIFAR-10 experiments.
#pragma once

#include "layers/conv.h"
#include "layers/dropout.h"
#include "layers/module.h"
#include "layers/pool.h"

namespace gradus {

/// What the 3x3 convolutions pad.
enum class AllCnnPadding {
  same,  ///< as TensorFlow, the paper's framework: strided ones 0 before and 1 after; the seventh convolution nothing
  one,   ///< 1 on every side, as Caffe and PyTorch; the seventh nothing
  every  ///< 1 on every side of every 3x3, also the seventh: the network of the speed comparisons, not of the paper
};

struct AllCnnOptions {
  int64_t channels = 3;
  int64_t classes = 10;
  bool dropout = true;  ///< 0.2 on the input, 0.5 after each strided convolution
  AllCnnPadding padding = AllCnnPadding::same;
};

/// [N, channels, H, W] -> logits [N, classes]; 1,369,738 parameters and 270.8 million multiplications per 32x32x3
/// image. Initialized as TensorFlow does: Glorot uniform, zero bias. Children: conv1 ... conv9, each followed by ReLU.
class AllCnn : public Module {
 public:
  explicit AllCnn(const AllCnnOptions& options = {});
  Var forward(const Var& x) override;
  std::string describe() const override { return "AllCnn"; }

 private:
  std::vector<Module*> stages_;
};

}  // namespace gradus
