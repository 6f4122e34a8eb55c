// Models by name.
#include "models/registry.h"

#include "core/error.h"
#include "core/joined.h"
#include "models/mlp.h"

namespace gradus {
namespace {

struct Entry {
  const char* name;
  std::unique_ptr<Module> (*make)(const ModelOptions& options);
};

template <ResNet (*make)(int64_t classes, const ResNetOptions& options)>
std::unique_ptr<Module> make_resnet(const ModelOptions& o) {
  return std::make_unique<ResNet>(make(o.classes, {.channels = o.image[0], .stem = o.stem, .shortcut = o.shortcut}));
}

const Entry entries[] = {
    {"all_cnn",
     [](const ModelOptions& o) -> std::unique_ptr<Module> {
       // Two strided convolutions quarter the image, and the seventh takes a 3x3 window of what is left, unless it
       // pads too.
       const int64_t least = o.padding == AllCnnPadding::every ? 1 : 9;
       if (o.image[1] < least || o.image[2] < least)
         fail(ErrorKind::value, "model", "all_cnn needs images of at least ", least, "x", least, ", but these are ",
              o.image[1], "x", o.image[2]);
       return std::make_unique<AllCnn>(
           AllCnnOptions{.channels = o.image[0], .classes = o.classes, .dropout = o.dropout, .padding = o.padding});
     }},
    {"mlp",
     [](const ModelOptions& o) -> std::unique_ptr<Module> {
       return std::make_unique<Mlp>(numel(o.image), o.classes,
                                    MlpOptions{.hidden = o.hidden, .activation = o.activation});
     }},
    {"resnet18", make_resnet<resnet18>},
    {"resnet34", make_resnet<resnet34>},
    {"resnet50", make_resnet<resnet50>},
};

}  // namespace

std::vector<std::string> model_names() {
  std::vector<std::string> names;
  for (const Entry& entry : entries) names.emplace_back(entry.name);
  return names;
}

std::unique_ptr<Module> make_model(const std::string& name, const ModelOptions& options) {
  if (options.image.rank() != 3 || numel(options.image) < 1 || options.classes < 1)
    fail(ErrorKind::value, "model", "expects images [channels,height,width] and positive classes, got ", options.image,
         " and ", options.classes);
  for (const Entry& entry : entries)
    if (name == entry.name) return entry.make(options);
  fail(ErrorKind::value, "model", "there is no model \"", name, "\"; there are ", joined(entries, &Entry::name));
}

}  // namespace gradus
