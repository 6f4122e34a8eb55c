#include "apps/common/photo_training.h"

#include "apps/common/command_line.h"
#include "apps/common/progress.h"
#include "core/error.h"
#include "layers/init.h"
#include "models/registry.h"

namespace gradus::apps {
namespace {

// Images per evaluation step: bounds memory, and decides nothing but the last digits of the mean loss.
constexpr int64_t evaluation_batch = 50;

PhotoSplits open_photos(const PhotoFlags& flags, bool hold_out_given) {
  Progress progress;
  PhotoSplits data = read_photo_folder(
      flags.data, {.pack = flags.pack, .progress = [&](int64_t done, int64_t total) {
                     progress.show("packing photographs", static_cast<double>(done) / static_cast<double>(total));
                   }});
  if (data.test.size() > 0) {
    if (hold_out_given) data.notes.push_back("--hold-out has no effect: " + flags.data + " has a val or test folder");
  } else if (flags.hold_out > 0) {
    data.test = hold_out(data.train, flags.hold_out);
    if (data.test.size() == 0)
      fail(ErrorKind::io, "data", "no class of ", flags.data,
           " has two pictures, so none can be held out: add pictures or use --hold-out 0");
  } else {
    data.notes.push_back("there is no val or test folder in " + flags.data + ": testing with the training images");
    data.test = data.train;
  }
  if (data.train.class_names().size() < 2)
    fail(ErrorKind::io, "data", flags.data, " has one class only: a folder for each of two or more was expected");
  return data;
}

/// Photographs for the network, augmented as the flags say where they are for training.
Loader make_photo_loader(const PhotoFlags& flags, const PhotoSet& photos, bool training) {
  const double strength = flags.color_jitter;
  PhotoOptions options{.size = flags.image_size,
                       .augment = training && flags.augment == "standard",
                       .jitter = {strength, strength, strength, strength / 4}};
  if (flags.on_damaged == "skip")
    options.on_damaged = [](const std::string& message) { note(message + "; it is left out"); };
  return Loader(std::make_shared<PhotoSource>(photos, options),
                {.batch = training ? flags.batch : evaluation_batch,
                 .seed = flags.seed,
                 .shuffle = training,
                 .workers = static_cast<int>(flags.workers),
                 .normalization = options.normalization});  // on record for --export-onnx; the source has its own
}

ResNetStem stem_of(const std::string& name) {
  if (name == "imagenet") return ResNetStem::imagenet;
  if (name == "cifar") return ResNetStem::cifar;
  fail(ErrorKind::value, "model", "there is no stem \"", name, "\"; there are imagenet, cifar");
}

ResNetShortcut shortcut_of(const std::string& name) {
  if (name == "torchvision") return ResNetShortcut::where_needed;
  if (name == "paper") return ResNetShortcut::every_stage;
  fail(ErrorKind::value, "model", "there is no shortcut \"", name, "\"; there are torchvision, paper");
}

}  // namespace

void PhotoFlags::add_to(CommandLine& line) {
  line.group("Data");
  line.add("--data", data,
           "folder or archive of photographs in train/CLASS/ and val/CLASS/ or test/CLASS/, or in CLASS/ alone");
  line.add("--image-size", image_size, "side in pixels that the network sees", side(8));
  line.add("--augment", augment, "standard: a random part of the picture, and a random flip",
           one_of({"none", "standard"}));
  line.add("--color-jitter", color_jitter,
           "strength of random changes of brightness, contrast and saturation, and a quarter of it of the hue;\n"
           "0.4 is usual",
           inside(0, 2));
  line.add("--pack", pack,
           "keep the photographs in the cache folder, decoded, the shorter side resized to this: faster from the\n"
           "second epoch on; 0: decode them in every epoch",
           side(0));
  line.add("--hold-out", hold_out, "share of every class to test with where there is no val or test folder",
           within(0, 1));
  line.add("--on-damaged", on_damaged, "a photograph that does not decode. stop: end; skip: leave it out",
           one_of({"stop", "skip"}));

  line.group("Model");
  line.add("--model", model, "network", one_of(model_names()));
  line.add("--stem", stem, "of a ResNet. cifar: 3x3, for images of some 32 pixels", one_of({"imagenet", "cifar"}));
  line.add("--shortcut", shortcut, "projections of a ResNet. torchvision: where needed; paper: in all four stages",
           one_of({"torchvision", "paper"}));
  line.add("--precondition-classifier", precondition_classifier,
           "fop and fop-norm precondition a ResNet's last layer too, which the paper left out");
  TrainingFlags::add_to(line);
}

PhotoFlags::PhotoFlags() {
  usual_lr = 0.1;
  usual_decay = 1e-4;
}

void PhotoFlags::resolve() {
  if (model.starts_with("resnet") && !precondition_classifier) without_matrix = {"fc"};
  TrainingFlags::resolve();
}

std::vector<std::string> PhotoFlags::without_effect(const CommandLine& line) const {
  std::vector<std::string> notes = TrainingFlags::without_effect(line);
  if (!resume.empty()) return notes;
  for (const char* flag : {"--stem", "--shortcut", "--precondition-classifier"})
    if (!model.starts_with("resnet") && line.given(flag))
      notes.push_back(std::string(flag) + " has no effect with --model " + model);
  if (augment == "none" && line.given("--color-jitter"))
    notes.push_back("--color-jitter has no effect with --augment none");
  return notes;
}

Record PhotoFlags::record() const {
  Record record = {{"data", recorded_path(data)},
                   {"image_size", image_size},
                   {"augment", augment},
                   {"color_jitter", color_jitter},
                   {"pack", pack},
                   {"hold_out", hold_out},
                   {"on_damaged", on_damaged},
                   {"model", model},
                   {"stem", stem},
                   {"shortcut", shortcut},
                   {"precondition_classifier", precondition_classifier}};
  record.add(TrainingFlags::record());
  return record;
}

std::unique_ptr<Module> make_photo_model(const PhotoFlags& flags, int64_t classes) {
  manual_seed(flags.seed);
  auto model = make_model(flags.model, {.image = {3, flags.image_size, flags.image_size},
                                        .classes = classes,
                                        .stem = stem_of(flags.stem),
                                        .shortcut = shortcut_of(flags.shortcut)});
  model->seed(flags.seed);
  return model;
}

int train_photos(const PhotoFlags& flags, const PhotoProgram& program, const std::vector<std::string>& notes) {
  if (flags.data.empty()) throw UsageError("--data is missing: a folder or an archive of photographs");
  Record request = {{"program", program.name}};
  request.add(flags.record());
  Start start = start_run(flags, request);
  if (start.complete) return 0;

  PhotoSplits data = open_photos(flags, program.hold_out_given && flags.resume.empty());
  const auto model = make_photo_model(flags, static_cast<int64_t>(data.train.class_names().size()));
  if (!start.checkpoint) load_weights(flags, flags.model, *model, program.new_classifier);
  data.notes.insert(data.notes.end(), notes.begin(), notes.end());
  introduce(
      flags, start,
      text(data.train.name(), ", ", data.train.size(), " training and ", data.test.size(), " test photographs of ",
           data.train.class_names().size(), " classes, as ", flags.image_size, "x", flags.image_size, " images"),
      flags.model, *model, data.notes);

  const Loader train = make_photo_loader(flags, data.train, true), test = make_photo_loader(flags, data.test, false);
  const auto config = [&] {
    Record all = request;
    all.add(found(data, *model));
    return all;
  };
  const auto started = [&](const RunDirectory& directory) {
    if (program.started) program.started(directory, data.train);
  };
  return run_training({.model = *model,
                       .train = train,
                       .test = test,
                       .flags = flags,
                       .start = start,
                       .config = config,
                       .top5 = program.top5,
                       .started = started});
}

}  // namespace gradus::apps
