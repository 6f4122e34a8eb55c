// What programs that train on photographs share: their flags, data, model and training.
#pragma once

#include <functional>
#include <memory>

#include "apps/common/training_flags.h"
#include "apps/common/training_run.h"
#include "data/photo_source.h"

namespace gradus::apps {

struct PhotoFlags : TrainingFlags {
  std::string data, augment = "standard", on_damaged = "stop";
  int64_t image_size = 224, pack = 0;
  double color_jitter = 0, hold_out = 0;
  std::string model = "resnet18", stem = "imagenet", shortcut = "torchvision";
  bool precondition_classifier = false;

  /// With the rate and the decay of the usual ImageNet protocol.
  PhotoFlags();
  void add_to(CommandLine& line);
  void resolve();
  std::vector<std::string> without_effect(const CommandLine& line) const;
  Record record() const;
};

struct PhotoProgram {
  const char* name;
  bool top5 = false;
  /// Whether weights from a network for other classes may be loaded, all but the classifier.
  bool new_classifier = false;
  /// Whether the user gave --hold-out.
  bool hold_out_given = false;
  /// Called when the data is known and the run's folder, where something is saved, is this run's own.
  std::function<void(const RunDirectory& directory, const PhotoSet& train)> started = {};
};

/// Opens the data, builds the model and trains; the program's exit code.
int train_photos(const PhotoFlags& flags, const PhotoProgram& program, const std::vector<std::string>& notes);

/// A network for photographs.
std::unique_ptr<Module> make_photo_model(const PhotoFlags& flags, int64_t classes);

}  // namespace gradus::apps
