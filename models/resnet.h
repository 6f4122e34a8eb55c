// ResNet-18, -34 and -50 (He et al. 2015) with the names of torchvision's, so that weights go both ways.
#pragma once

#include <string>
#include <vector>

#include "layers/module.h"

namespace gradus {

/// What comes before the first stage.
enum class ResNetStem {
  imagenet,  ///< 7x7 convolution of stride 2, then 3x3 maximum of stride 2: a quarter of the image's sides
  cifar      ///< 3x3 convolution of stride 1 (He et al. 2015, section 4.2), for images of some 32 pixels
};

/// Which stages begin with a projection, a 1x1 convolution and batch normalization on the shortcut.
enum class ResNetShortcut {
  where_needed,  ///< those that change the number of channels or the resolution: torchvision's
  every_stage    ///< all four, as in TensorFlow's official models: the network of the FOP paper, by its counts
};

struct ResNetOptions {
  int64_t channels = 3;
  ResNetStem stem = ResNetStem::imagenet;
  ResNetShortcut shortcut = ResNetShortcut::where_needed;
};

/// [N, channels, H, W] -> logits [N, classes]. Children: conv1, bn1, layer1 ... layer4, fc. Strides as torchvision's: a
/// bottleneck's lies in its 3x3 convolution. Initialized as torchvision does: convolutions by He's normal of fan_out,
/// the classifier as PyTorch's Linear.
class ResNet : public Module {
 public:
  enum class Block { basic, bottleneck };

  /// `blocks` in each of the four stages, of 64, 128, 256 and 512 channels (a bottleneck's output has 4 times as many).
  ResNet(std::string name, Block block, const std::vector<int64_t>& blocks, int64_t classes,
         const ResNetOptions& options);
  Var forward(const Var& x) override;
  std::string describe() const override { return name_; }

 private:
  std::string name_;
  std::vector<Module*> stages_;
};

/// 11,689,512 parameters for 1000 classes and torchvision's shortcuts.
ResNet resnet18(int64_t classes = 1000, const ResNetOptions& options = {});
/// 21,797,672 parameters.
ResNet resnet34(int64_t classes = 1000, const ResNetOptions& options = {});
/// 25,557,032 parameters.
ResNet resnet50(int64_t classes = 1000, const ResNetOptions& options = {});

}  // namespace gradus
