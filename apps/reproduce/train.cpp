#include "apps/reproduce/train.h"

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "apps/common/captured_step.h"
#include "apps/common/command_line.h"
#include "apps/common/progress.h"
#include "apps/common/training.h"
#include "apps/reproduce/curvature_error.h"
#include "core/error.h"
#include "core/parallel.h"
#include "layers/init.h"
#include "models/registry.h"

namespace gradus::reproduce {
namespace {

std::string layer_of(const std::string& parameter) { return parameter.substr(0, parameter.rfind('.')); }

std::unique_ptr<Module> build_model(const Run& run, const DatasetInfo& images) {
  manual_seed(run.flags.seed);
  const char* name = run.images == Images::imagenet ? "resnet18" : run.hidden.empty() ? "all_cnn" : "mlp";
  auto model = make_model(name, {.image = {images.channels, images.height, images.width},
                                 .classes = static_cast<int64_t>(images.class_names.size()),
                                 .dropout = run.dropout,
                                 .hidden = run.hidden,
                                 .activation = run.activation,
                                 .shortcut = ResNetShortcut::every_stage});
  if (run.init_std > 0)
    for (const Parameter& parameter : model->parameters())
      if (optim::is_weight(parameter.info())) init::truncated_normal(parameter.value(), 0, run.init_std);
  model->seed(run.flags.seed);
  return model;
}

optim::Optimizer build_optimizer(const Run& run, const std::vector<Parameter>& parameters, int64_t steps_per_epoch) {
  optim::Builder builder = run.flags.make_builder(parameters, steps_per_epoch);
  for (const Parameter& parameter : parameters) {
    if (run.dense_gain == 0 || !optim::is_weight(parameter.info())) continue;
    const int64_t inputs = parameter.info().in;
    const int64_t rank = run.flags.rank == 0 ? inputs : std::min(run.flags.rank, inputs);
    apps::TrainingFlags flags = run.flags;  // its noise has standard deviation init_gain / sqrt(rank)
    flags.init_gain = run.dense_gain * std::sqrt(static_cast<double>(rank) / static_cast<double>(inputs));
    builder.group(optim::named(parameter.name()), {.preconditioner = flags.make_preconditioner()});
  }
  for (const auto& [layer, factor] : run.lr_factors)
    builder.group(optim::named(layer + ".weight"), {.lr = *run.flags.lr * factor});
  return builder.build();
}

class Training {
 public:
  Training(const Run& run, const ImageData& data, const Supervision& supervision)
      : run_(run),
        supervision_(supervision),
        train_(data.loader(run, true)),
        test_(data.loader(run, false)),
        model_(build_model(run, train_.source().info())),
        optimizer_(build_optimizer(run, model_->parameters(), train_.batches())),
        captured_(*model_, optimizer_, {.due = [this](int64_t step) { return step % 50 == 0 || is_measured(step); }}) {
    if (run.curvature_samples > 0) {
      probes_ = data.splits.test.class_balanced_subset(run.curvature_samples);
      probe_normalization_ = channel_statistics(data.splits.train.class_balanced_subset(run.train_samples));
    }
    outcome_.threads = num_threads();
    outcome_.machine = this_machine();
    if (const auto checkpoint = unfinished(supervision)) load(*checkpoint);
  }

  std::optional<Outcome> run() {
    if (state_.step == 0) look_at_curvature();
    go_on_measuring_time();
    try {
      while (state_.step < run_.steps && !stopped_)
        apps::train_epoch(*model_, optimizer_, train_, state_, [&](const apps::Score& score) { return after(score); },
                          {.captured = &captured_});
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::value) throw;
      outcome_.diverged = error.what();
    }
    measure_time();
    outcome_.steps = state_.step;
    if (stopped_) {
      save();
      return std::nullopt;
    }
    summarize();
    return std::move(outcome_);
  }

 private:
  static bool is_multiple(int64_t step, int64_t every) { return every > 0 && step % every == 0; }
  bool is_measured(int64_t step) const {
    return step == run_.steps || is_multiple(step, run_.angles_every) || is_multiple(step, run_.matrices_every) ||
           is_multiple(step, run_.evaluate_every);
  }

  // After every step, or every few where a GPU takes them; false ends the epoch early.
  bool after(const apps::Score& score) {
    const auto due = [&](int64_t every) { return is_multiple(state_.step, every); };
    const bool last = state_.step == run_.steps;
    measure_time();  // nothing of what follows is training
    if (due(run_.angles_every) || due(run_.matrices_every) || last)
      measure_preconditioners(due(run_.matrices_every) || last);
    if (due(run_.evaluate_every) || last) measure_accuracy(score);
    if (last) look_at_curvature();
    supervision_.watch(state_.step);
    if (!last) {
      stopped_ = supervision_.stop();
      if (!stopped_ && since_saved_.seconds() > seconds_between_checkpoints) save();
    }
    go_on_measuring_time();
    return !last && !stopped_;
  }

  void measure_accuracy(const apps::Score& train) {
    const auto test = apps::evaluate(*model_, test_, [](const apps::Score&) { return true; });
    outcome_.add("accuracy", {"step", "train_loss", "train_accuracy", "test_loss", "test_accuracy"},
                 {static_cast<double>(state_.step), train.loss(), train.accuracy(), test->loss(), test->accuracy()});
  }

  void look_at_curvature() {
    if (!probes_) return;
    const Loader loader(
        *probes_, {.batch = probes_->size(), .shuffle = false, .workers = 1, .normalization = probe_normalization_});
    for (const auto& [images, labels] : loader.epoch(0))
      measure_curvature(*model_, images, labels, run_.flags.seed, static_cast<double>(state_.step), outcome_);
  }

  void measure_preconditioners(bool matrices) {
    const bool spectra = matrices && run_.matrices_every > 0;
    const auto reports =
        optimizer_.diagnostics(spectra ? optim::Diagnose::everything : optim::Diagnose::without_spectra);
    if (reports.empty()) return;
    const auto step = static_cast<double>(state_.step);
    std::vector<std::string> columns{"step"};
    std::vector<double> angles{step}, gains{step};
    double before = 0, after = 0, paper = 0, stored = 0;
    const std::vector<Parameter> parameters = model_->parameters();
    for (const optim::PreconditionerReport& report : reports) {
      const std::string layer = layer_of(report.parameter);
      columns.push_back(layer);
      angles.push_back(report.angle_degrees);
      gains.push_back(report.gain);
      paper += static_cast<double>(report.paper_parameters);
      stored += static_cast<double>(report.stored_parameters);
      for (const Parameter& parameter : parameters) {
        if (parameter.name() != report.parameter) continue;
        const double g = norm(parameter.grad());
        before += g * g;
        after += g * g * report.gain * report.gain;
      }
      if (!spectra || !report.matrix.defined()) continue;
      std::vector<double> row{step};
      for (double value : cast(report.matrix, DType::float64).to_vector<double>()) row.push_back(value);
      std::vector<std::string> names{"step"};
      for (size_t i = 1; i < row.size(); ++i) names.push_back("p" + std::to_string(i - 1));
      outcome_.add("P " + layer, names, row);
    }
    columns.push_back("all");
    gains.push_back(std::sqrt(after / before));
    outcome_.add("gain", columns, gains);
    columns.pop_back();
    outcome_.add("angle", columns, angles);
    outcome_.values["paper_parameters"] = paper;
    outcome_.values["stored_parameters"] = stored;
  }

  void measure_time() { outcome_.seconds = seconds_before_ + watch_.seconds(); }
  /// Leaves out what has passed since it was measured.
  void go_on_measuring_time() {
    seconds_before_ = outcome_.seconds;
    watch_ = apps::Stopwatch();
  }

  void summarize() {
    const double guess = 1 / static_cast<double>(train_.source().info().class_names.size());
    const auto& looks = outcome_.series["accuracy"].rows;
    double best = looks.empty() ? guess : looks.front().back();
    for (const auto& row : looks) best = std::max(best, row.back());
    outcome_.values["best_accuracy"] = best;
    outcome_.values["final_accuracy"] = outcome_.diverged.empty() ? looks.back().back() : guess;
    const auto gain = outcome_.series.find("gain");
    if (gain == outcome_.series.end()) return;
    const auto& rows = gain->second.rows;
    double sum = 0;
    for (size_t i = rows.size() / 2; i < rows.size(); ++i) sum += rows[i].back();
    outcome_.values["gain"] = sum / static_cast<double>(rows.size() - rows.size() / 2);
  }

  /// Once the time is measured: it is part of the outcome.
  void save() {
    apps::Checkpoint checkpoint = apps::checkpoint_of(*model_, optimizer_, state_);
    checkpoint.metadata["outcome"] = outcome_.json();
    apps::write_checkpoint(supervision_.checkpoint, checkpoint);
    since_saved_ = apps::Stopwatch();
  }

  void load(const apps::Checkpoint& checkpoint) {
    outcome_ = Outcome::parse(checkpoint.text("outcome"));
    outcome_.machine = both_machines(outcome_.machine, this_machine());
    apps::restore(checkpoint, *model_, optimizer_, state_);
  }

  const Run& run_;
  const Supervision& supervision_;
  Loader train_, test_;
  std::optional<Dataset> probes_;
  Normalization probe_normalization_;
  std::unique_ptr<Module> model_;
  optim::Optimizer optimizer_;
  apps::CapturedStep captured_;
  apps::TrainingState state_;
  Outcome outcome_;
  bool stopped_ = false;
  double seconds_before_ = 0;  ///< of training, until watch_ was started
  apps::Stopwatch watch_, since_saved_;
};

}  // namespace

std::optional<apps::Checkpoint> unfinished(const Supervision& supervision) {
  if (!std::filesystem::exists(supervision.checkpoint)) return std::nullopt;
  try {
    return apps::load_checkpoint(supervision.checkpoint);
  } catch (const Error& error) {
    apps::note(text("begins a training again, as its checkpoint is damaged: ", error.what()));
    return std::nullopt;
  }
}

std::string both_machines(const std::string& first, const std::string& then) {
  return first.empty() || first.ends_with(then) ? first : first + " and " + then;
}

std::optional<Outcome> train(const Run& run, const ImageData& data, const Supervision& supervision) {
  return Training(run, data, supervision).run();
}

}  // namespace gradus::reproduce
