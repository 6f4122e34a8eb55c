#include "models/resnet.h"

#include "layers/activation.h"
#include "layers/container.h"
#include "layers/conv.h"
#include "layers/init.h"
#include "layers/linear.h"
#include "layers/norm.h"
#include "layers/pool.h"

namespace gradus {
namespace {

Conv2d conv(int64_t in, int64_t out, int64_t kernel, int64_t stride) {
  return Conv2d(in, out, {.kernel = kernel, .stride = stride, .padding = kernel / 2, .bias = false});
}

/// relu(body(x) + shortcut(x)). The body is conv1, bn1, conv2, bn2 and so on with ReLU between the pairs; the shortcut
/// is the identity or "downsample".
class ResidualBlock : public Module {
 public:
  struct Layer {
    int64_t channels, kernel, stride;
  };

  ResidualBlock(int64_t in, const std::vector<Layer>& layers, int64_t stride, bool project) {
    int64_t channels = in;
    for (const Layer& layer : layers) {
      const std::string number = std::to_string(body_.size() + 1);
      Module& convolution = child("conv" + number, conv(channels, layer.channels, layer.kernel, layer.stride));
      channels = layer.channels;
      body_.push_back({&convolution, &child("bn" + number, BatchNorm2d(channels))});
    }
    if (project) downsample_ = &child("downsample", Sequential(conv(in, channels, 1, stride), BatchNorm2d(channels)));
  }

  Var forward(const Var& x) override {
    Var y = x;
    for (const auto& [convolution, norm] : body_) {
      if (convolution != body_.front().convolution) y = relu(y);
      y = (*norm)((*convolution)(y));
    }
    return relu(y + (downsample_ == nullptr ? x : (*downsample_)(x)));
  }
  std::string describe() const override { return "ResidualBlock"; }

 private:
  struct Pair {
    Module *convolution, *norm;
  };
  std::vector<Pair> body_;
  Module* downsample_ = nullptr;
};

/// torchvision's kaiming_normal_(mode="fan_out", nonlinearity="relu").
void initialize_convolutions(Module& model) {
  for (const Parameter& parameter : model.parameters())
    if (parameter.info().layer == LayerKind::conv) init::kaiming_normal(parameter.value(), {.fan = init::Fan::out});
}

}  // namespace

ResNet::ResNet(std::string name, Block block, const std::vector<int64_t>& blocks, int64_t classes,
               const ResNetOptions& options)
    : name_(std::move(name)) {
  const bool small = options.stem == ResNetStem::cifar;
  int64_t channels = 64;
  stages_.push_back(
      &child("conv1", small ? conv(options.channels, channels, 3, 1) : conv(options.channels, channels, 7, 2)));
  stages_.push_back(&child("bn1", BatchNorm2d(channels)));
  stages_.push_back(&child("relu", ReLU()));
  if (!small) stages_.push_back(&child("maxpool", MaxPool2d({.kernel = 3, .stride = 2, .padding = 1})));

  int64_t width = 64;
  for (size_t stage = 0; stage < blocks.size(); ++stage, width *= 2) {
    Sequential& layer = child("layer" + std::to_string(stage + 1), Sequential());
    const int64_t out = block == Block::basic ? width : 4 * width;
    for (int64_t i = 0; i < blocks[stage]; ++i) {
      const int64_t stride = i == 0 && stage > 0 ? 2 : 1;
      const bool every = options.shortcut == ResNetShortcut::every_stage && i == 0;
      const bool project = every || stride != 1 || channels != out;
      if (block == Block::basic)
        layer.add(ResidualBlock(channels, {{width, 3, stride}, {out, 3, 1}}, stride, project));
      else
        layer.add(ResidualBlock(channels, {{width, 1, 1}, {width, 3, stride}, {out, 1, 1}}, stride, project));
      channels = out;
    }
    stages_.push_back(&layer);
  }
  stages_.push_back(&child("avgpool", GlobalAvgPool2d()));
  stages_.push_back(&child("fc", Linear(channels, classes)));
  initialize_convolutions(*this);
}

Var ResNet::forward(const Var& x) {
  Var y = x;
  for (Module* stage : stages_) y = (*stage)(y);
  return y;
}

ResNet resnet18(int64_t classes, const ResNetOptions& options) {
  return ResNet("ResNet-18", ResNet::Block::basic, {2, 2, 2, 2}, classes, options);
}
ResNet resnet34(int64_t classes, const ResNetOptions& options) {
  return ResNet("ResNet-34", ResNet::Block::basic, {3, 4, 6, 3}, classes, options);
}
ResNet resnet50(int64_t classes, const ResNetOptions& options) {
  return ResNet("ResNet-50", ResNet::Block::bottleneck, {3, 4, 6, 3}, classes, options);
}

}  // namespace gradus
