// Models by name, for programs that choose one at run time.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "layers/activation.h"
#include "layers/module.h"
#include "models/all_cnn.h"
#include "models/resnet.h"

namespace gradus {

/// What the models take from a program; each uses what concerns it.
struct ModelOptions {
  Shape image = {3, 32, 32};  ///< channels, height, width
  int64_t classes = 10;
  bool dropout = true;                                     ///< all_cnn
  AllCnnPadding padding = AllCnnPadding::same;             ///< all_cnn
  std::vector<int64_t> hidden = {1000, 1000};              ///< mlp
  Activation activation = Activation::relu;                ///< mlp
  ResNetStem stem = ResNetStem::imagenet;                  ///< resnet18, resnet34, resnet50
  ResNetShortcut shortcut = ResNetShortcut::where_needed;  ///< the same
};

/// "all_cnn", "mlp", "resnet18", ...
std::vector<std::string> model_names();

/// A model for images, newly initialized. Throws ErrorKind::value listing the names where there is none of this name,
/// or saying why it does not fit the images.
std::unique_ptr<Module> make_model(const std::string& name, const ModelOptions& options = {});

}  // namespace gradus
