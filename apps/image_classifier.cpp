// Learns to tell pictures apart from a folder of examples, one subfolder for each class, and names the class of new
// ones.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <mutex>
#include <set>

#include "apps/common/command_line.h"
#include "apps/common/photo_training.h"
#include "core/error.h"
#include "core/file.h"
#include "core/joined.h"
#include "core/json.h"
#include "core/ops.h"

using namespace gradus;
using namespace gradus::apps;

namespace {

constexpr const char* program = "image_classifier";
constexpr const char* examples = R"(Examples:
  image_classifier --data pets --out pets-model
      learns the classes pets/cat/, pets/dog/ and so on; a fifth of the pictures is kept back to test with
  image_classifier --data pets --out pets-model --weights resnet18.safetensors --epochs 10 --lr 0.01
      the same from a network that was trained on ImageNet, as torchvision saves it: better with few pictures
  image_classifier --predict pets-model new/1.jpg new/2.png
      names the class of each picture)";

struct Flags : PhotoFlags {
  std::string predict;
  std::vector<std::string> pictures;
  int64_t top = 3;
  bool average = false;

  Flags() {
    image_size = 128;
    epochs = 30;
    batch = 32;
    hold_out = 0.2;
    lr_drop = "20,27";
    preconditioner = "fop";
    usual_lr = 0.02;
  }
  void add_to(CommandLine& line) {
    line.add("--predict", predict,
             "folder of a trained model: name the classes of PICTURES with it, and train nothing");
    line.add("--top", top, "so many classes for each picture", at_least(1));
    line.add("--average", average, "predict with the moving average of the weights, which --ema left in the model");
    line.add("PICTURES", pictures, "files, for --predict");
    PhotoFlags::add_to(line);
  }
  void resolve() {
    if (predict.empty()) {
      if (!pictures.empty())
        throw UsageError(pictures.front() +
                         " is not a flag: a folder to train on is named with --data, and pictures to "
                         "recognize need --predict MODEL");
    } else if (pictures.empty()) {
      throw UsageError("--predict " + predict + " needs pictures: image_classifier --predict MODEL PICTURE...");
    }
    PhotoFlags::resolve();
  }
  std::vector<std::string> without_effect(const CommandLine& line) const {
    std::vector<std::string> notes;
    if (predict.empty()) {
      notes = PhotoFlags::without_effect(line);
      for (const char* flag : {"--top", "--average"})
        if (line.given(flag)) notes.push_back(std::string(flag) + " has no effect without --predict");
      return notes;
    }
    notes = device.without_effect(line);
    static const std::set<std::string> effective = {"predict", "top",     "average", "json", "on-damaged",
                                                    "batch",   "threads", "workers", "conv", "tf32",
                                                    "fast",    "plans",   "graph"};
    for (const auto& [name, given] : line.flags())
      if (given && !effective.contains(name)) notes.push_back("--" + name + " has no effect with --predict");
    return notes;
  }
};

std::string classes_file(const std::string& folder) { return folder + "/classes.json"; }

/// What `make` makes of a file of a trained model; an error of it, where the file is missing, is no JSON, or says
/// something else, names the file.
auto from_file(const std::string& file, const std::string& folder, const auto& make) {
  try {
    return make();
  } catch (const Error& error) {
    fail(ErrorKind::io, "model", file, " is missing, or no part of a model of image_classifier's (", error.what(),
         "): train one with image_classifier --data FOLDER --out ", folder);
  }
}

struct Model {
  std::vector<std::string> classes;
  std::unique_ptr<Module> network;
};

/// With the options that decide the network's shape, from the run that trained it.
Model read_model(Flags& flags) {
  const std::string config_file = flags.predict + "/config.json", classes = classes_file(flags.predict);
  Model model;
  from_file(config_file, flags.predict, [&] {
    const Json config = Json::parse(read_file(config_file));
    flags.model = config.at("model").string();
    flags.stem = config.at("stem").string();
    flags.shortcut = config.at("shortcut").string();
    flags.image_size = config.at("image_size").get<int64_t>();
    if (const std::string reason = side(8).reason(config.at("image_size").dump()); !reason.empty())
      fail(ErrorKind::value, "image_size", reason);
  });
  from_file(classes, flags.predict, [&] {
    model.classes = Json::parse(read_file(classes)).get<std::vector<std::string>>();
    if (model.classes.empty()) fail(ErrorKind::value, "classes", "there is none");
  });
  model.network = from_file(config_file, flags.predict,
                            [&] { return make_photo_model(flags, static_cast<int64_t>(model.classes.size())); });
  return model;
}

/// The pictures, each in its place: of one that does not decode the error is kept instead.
class Pictures final : public ImageSource {
 public:
  Pictures(const Flags& flags, const std::vector<std::string>& classes)
      : photos_(photo_files(flags.pictures, classes), {.size = flags.image_size}) {}

  const DatasetInfo& info() const override { return photos_.info(); }
  int64_t size() const override { return photos_.size(); }
  int64_t label(int64_t index) const override { return photos_.label(index); }
  bool make(int64_t index, const RandomKey& key, float* out) const override {
    try {
      return photos_.make(index, key, out);
    } catch (const Error& error) {
      std::fill_n(out, 3 * info().height * info().width, 0.0F);
      const std::lock_guard lock(mutex_);
      errors_.emplace(index, error);
      return true;
    }
  }
  /// Of a picture that was made.
  std::optional<Error> error(int64_t index) const {
    const std::lock_guard lock(mutex_);
    const auto found = errors_.find(index);
    return found == errors_.end() ? std::nullopt : std::optional(found->second);
  }

 private:
  PhotoSource photos_;
  mutable std::mutex mutex_;
  mutable std::map<int64_t, Error> errors_;
};

int predict(Flags flags, const std::vector<std::string>& notes) {
  const auto [classes, model] = read_model(flags);
  flags.weights = flags.predict + (flags.average ? "/weights.ema.safetensors" : "/weights.safetensors");
  if (flags.average && !std::filesystem::exists(flags.weights))
    fail(ErrorKind::io, "model", flags.predict, " has no average (", flags.weights,
         "): leave out --average, or train with --ema 0.999");
  load_weights(flags, flags.model, *model);
  for (const std::string& line : notes) note(line);
  model->eval();
  const NoGrad no_grad;
  const auto pictures = std::make_shared<const Pictures>(flags, classes);
  const Loader loader(pictures, {.batch = flags.batch, .shuffle = false, .workers = static_cast<int>(flags.workers)});
  size_t picture = 0;
  bool all_decoded = true;
  for (const auto& [images, labels] : loader.epoch(0)) {
    const Tensor probabilities = exp(log_softmax((*model)(Var(images)), 1)).value();
    for (int64_t row = 0; row < labels.size(0); ++row, ++picture) {
      if (const auto error = pictures->error(static_cast<int64_t>(picture))) {
        if (flags.on_damaged == "stop") throw *error;
        note(std::string(error->what()) + "; it is left out");
        all_decoded = false;
        continue;
      }
      const std::vector<float> p = select(probabilities, 0, row).to_vector<float>();
      std::vector<size_t> order(p.size());
      for (size_t i = 0; i < order.size(); ++i) order[i] = i;
      std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return p[a] > p[b]; });
      order.resize(std::min(order.size(), static_cast<size_t>(flags.top)));
      const std::string& file = flags.pictures[picture];
      if (flags.json) {
        Json::Array ranking;
        for (size_t i : order) ranking.push_back({{"class", classes[i]}, {"probability", p[i]}});
        print_line(Json({{"file", file}, {"class", classes[order[0]]}, {"classes", ranking}}).dump());
      } else {
        const auto& names = classes;  // clang 14 captures no structured binding
        const auto share = [&](size_t i) { return text(names[i], " ", std::lround(100 * p[i]), " %"); };
        print_line(file + ": " + joined(order, share));
      }
    }
  }
  return all_decoded ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  CommandLine line("Learns to tell pictures apart from a folder of examples, and names the class of new ones.",
                   examples, program);
  Flags flags;
  flags.add_to(line);
  return run(line, argc, argv, [&] {
    flags.resolve();
    const std::vector<std::string> notes = flags.without_effect(line);
    if (!flags.predict.empty()) return predict(flags, notes);
    const auto keep_classes = [](const RunDirectory& directory, const PhotoSet& train) {
      write_file_atomically(classes_file(directory.path()), Json(train.class_names()).dump(1) + "\n");
    };
    return train_photos(
        flags,
        {.name = program, .new_classifier = true, .hold_out_given = line.given("--hold-out"), .started = keep_classes},
        notes);
  });
}
