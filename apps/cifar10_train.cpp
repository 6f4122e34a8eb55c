// Trains All-CNN-C or a perceptron on CIFAR-10, or on any other small images, with FOP or another optimizer: the FOP
// paper's main experiment (Moskovitz et al. 2019, Figure 2), whose protocol the defaults are.
#include <cstdio>

#include "apps/common/command_line.h"
#include "apps/common/progress.h"
#include "apps/common/training_run.h"
#include "core/error.h"
#include "data/locate.h"
#include "data/whitening.h"
#include "layers/init.h"
#include "models/registry.h"

using namespace gradus;
using namespace gradus::apps;

namespace {

constexpr const char* program = "cifar10_train";
constexpr const char* examples = R"(Examples:
  cifar10_train --quick
      a first run of one to three minutes, on CIFAR-10 where it is at hand and on synthetic images elsewhere
  cifar10_train --preconditioner fop --out runs/fop --seed 1
      the paper's protocol: 150 epochs of All-CNN-C, with FOP; the same with none, s-hd, pp-hd, fop-norm. After Ctrl-C
      or a crash, cifar10_train --resume runs/fop goes on
  cifar10_train --data cifar10-jpeg.tar.gz --train-samples 10000 --test-samples 2000 --epochs 8 --lr-drop 6 \
                --no-dropout --json
      a short training on a subset of an archive of pictures, its results as JSON for another program)";

// Images per evaluation step: bounds memory, and decides nothing but the last digits of the mean loss.
constexpr int64_t evaluation_batch = 200;

struct Flags : TrainingFlags {
  std::string data = "auto", model = "all_cnn", augment = "none", padding = "same", resident = "auto";
  int64_t train_samples = 0, test_samples = 0;
  bool whiten = false, no_dropout = false, quick = false;

  Flags() {
    epochs = 150;
    lr_drop = "80";
  }

  void add_to(CommandLine& line) {
    line.add("--quick", quick,
             "a short run that shows the training at work, on CIFAR-10 where it is at hand and synthetic images\n"
             "elsewhere, without dropout: 6000 training and 1000 test images, 5 epochs, batch 32, Adam with the\n"
             "learning rate 0.0005 (momentum rules: 0.02, with --clip-norm 1), dropped after epoch 4; flags that are\n"
             "given still count");
    line.group("Data");
    line.add("--data", data,
             "auto: CIFAR-10 from $GRADUS_DATA, the cache folder or the network; synthetic; or a folder or\n"
             "archive of CIFAR-10's binary files or of pictures in train/CLASS/ and test/CLASS/");
    line.add("--train-samples", train_samples, "use a fixed, class-balanced subset of so many; 0: all", at_least(0));
    line.add("--test-samples", test_samples, "the same of the test images", at_least(0));
    line.add("--augment", augment, "standard: random crop after padding by 4, and random flip",
             one_of({"none", "standard"}));
    line.add("--whiten", whiten,
             "global contrast normalization and ZCA whitening, as All-CNN-C was published with, instead of each\n"
             "channel's mean and deviation; its matrix takes half a minute");
    line.add("--resident", resident,
             "on: all images stay on the device as bytes, and batches are made there, with the same result.\n"
             "auto: on for a GPU and up to 4 GiB",
             one_of({"auto", "on", "off"}));
    line.group("Model");
    line.add("--model", model, "network", one_of({"all_cnn", "mlp"}));
    line.add("--padding", padding, "of all_cnn's 3x3 convolutions. same: as TensorFlow; 1: as PyTorch",
             one_of({"same", "1"}));
    line.add("--no-dropout", no_dropout, "leave out all_cnn's dropout of 0.2, 0.5 and 0.5");
    TrainingFlags::add_to(line);
  }

  void resolve(const CommandLine& line) {
    if (quick) {
      const auto unless_given = [&](const char* flag, auto& value, auto short_value) {
        if (!line.given(flag)) value = short_value;
      };
      unless_given("--train-samples", train_samples, 6000);
      unless_given("--test-samples", test_samples, 1000);
      unless_given("--epochs", epochs, 5);
      unless_given("--batch", batch, 32);
      unless_given("--lr-drop", lr_drop, "4");
      // Momentum without normalization is at the edge of stability at any rate that learns in so few steps.
      unless_given("--rule", rule, "adam");
      if (rule == "adam" || rule == "adamw") unless_given("--lr", lr, 5e-4);
      if (rule == "momentum" || rule == "nesterov") {
        unless_given("--lr", lr, 0.02);
        unless_given("--clip-norm", clip_norm, 1);
      }
      no_dropout = true;
    }
    TrainingFlags::resolve();
    if (whiten && !export_onnx.empty())
      throw UsageError("--export-onnx does not go with --whiten: the file would lack the whitening of its inputs");
  }

  /// All that was asked for, under the flags' own names.
  Record request() const {
    Record record = {{"program", program},
                     {"quick", quick},
                     {"data", recorded_data(data)},
                     {"train_samples", train_samples},
                     {"test_samples", test_samples},
                     {"augment", augment},
                     {"whiten", whiten},
                     {"resident", resident},
                     {"model", model},
                     {"padding", padding},
                     {"no_dropout", no_dropout}};
    record.add(TrainingFlags::record());
    return record;
  }

  std::vector<std::string> without_effect(const CommandLine& line) const {
    std::vector<std::string> notes = TrainingFlags::without_effect(line);
    for (const char* flag : {"--padding", "--no-dropout"})
      if (resume.empty() && model != "all_cnn" && line.given(flag))
        notes.push_back(std::string(flag) + " has no effect with --model " + model);
    if (resume.empty() && model == "all_cnn" && form == "auto" && line.given("--rank"))
      notes.push_back("--rank has no effect with --model all_cnn: a convolution's P acts on its filters' positions");
    return notes;
  }
};

DataSplits open_data(const Flags& flags) {
  Progress progress;
  OpenOptions options;
  options.download = !flags.quick;
  options.synthetic_if_absent = flags.quick;
  options.progress = [&](const DownloadProgress& state) {
    const double part = state.total > 0 ? static_cast<double>(state.received) / static_cast<double>(state.total) : 0;
    progress.show("downloading CIFAR-10: " + std::to_string(state.received / 1000000) + " MB", part);
    return true;
  };
  DataSplits data = open_dataset(flags.data, options);
  if (flags.train_samples > 0) data.train = data.train.class_balanced_subset(flags.train_samples);
  if (data.test.size() == 0) {
    data.notes.push_back("there are no test images in " + flags.data + ": testing with the training images");
    data.test = data.train;
  }
  if (flags.test_samples > 0) data.test = data.test.class_balanced_subset(flags.test_samples);
  return data;
}

std::unique_ptr<Module> build_model(const Flags& flags, const DatasetInfo& images) {
  manual_seed(flags.seed);
  auto model = make_model(flags.model, {.image = {images.channels, images.height, images.width},
                                        .classes = static_cast<int64_t>(images.class_names.size()),
                                        .dropout = !flags.no_dropout,
                                        .padding = flags.padding == "same" ? AllCnnPadding::same : AllCnnPadding::one});
  model->seed(flags.seed);
  return model;
}

int train(const Flags& flags, const std::vector<std::string>& notes) {
  Start start = start_run(flags, flags.request());
  if (start.complete) return 0;

  DataSplits data = open_data(flags);
  const auto model = build_model(flags, data.train.info());
  if (!start.checkpoint) load_weights(flags, flags.model, *model);
  data.notes.insert(data.notes.end(), notes.begin(), notes.end());
  introduce(flags, start,
            text(data.train.name(), ", ", data.train.size(), " training and ", data.test.size(), " test images"),
            flags.model, *model, data.notes);

  if (flags.whiten) announce(flags, "whitening: learning its matrix");
  const BatchTransform whitening = flags.whiten ? Whitening(data.train) : BatchTransform();
  const Normalization normalization = flags.whiten ? Normalization() : channel_statistics(data.train);
  const std::optional<bool> resident = flags.resident == "auto" ? std::nullopt : std::optional(flags.resident == "on");
  const Loader train_loader(data.train, {.batch = flags.batch,
                                         .seed = flags.seed,
                                         .augment = flags.augment == "standard" ? Augment::standard : Augment::none,
                                         .workers = static_cast<int>(flags.workers),
                                         .normalization = normalization,
                                         .batch_transform = whitening,
                                         .resident = resident});
  const Loader test_loader(data.test, {.batch = evaluation_batch,
                                       .shuffle = false,
                                       .workers = static_cast<int>(flags.workers),
                                       .normalization = normalization,
                                       .batch_transform = whitening,
                                       .resident = resident});
  const auto config = [&] {
    Record all = flags.request();
    all.add(found(data, *model));
    return all;
  };
  return run_training(
      {.model = *model, .train = train_loader, .test = test_loader, .flags = flags, .start = start, .config = config});
}

}  // namespace

int main(int argc, char** argv) {
  CommandLine line("Trains All-CNN-C or a perceptron on CIFAR-10. The defaults are the FOP paper's protocol.", examples,
                   program);
  Flags flags;
  flags.add_to(line);
  return run(line, argc, argv, [&] {
    flags.resolve(line);
    return train(flags, flags.without_effect(line));
  });
}
