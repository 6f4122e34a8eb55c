#include "apps/common/training.h"

#include <cmath>
#include <map>

#include "apps/common/captured_step.h"
#include "core/ops.h"
#include "core/state_dict.h"
#include "layers/norm.h"
#include "optim/finite.h"

namespace gradus::apps {
namespace {

void add(Score& score, double mean_loss, const Tensor& logits, const Tensor& labels) {
  const int64_t images = labels.size(0);
  score.loss_sum += mean_loss * static_cast<double>(images);
  score.correct += count_correct(logits, labels);
  score.images += images;
}

/// Says where a loss that is not finite comes from: a parameter, or else the first layer whose output is not finite.
std::string origin(Module& model, const std::vector<Parameter>& parameters, const Tensor& images, int64_t step) {
  for (const Parameter& parameter : parameters)
    if (!all_finite(parameter.value())) return ": the parameter " + parameter.name() + " is not";
  std::map<const Module*, std::string> names;
  model.visit([&](const std::string& name, Module& module) { names[&module] = name; });
  std::string layer;
  const CallObserver observer([&](const Module& module, const Var&, const Var& output) {
    if (layer.empty() && !all_finite(output.value()))
      layer = ": the output of " + names[&module] + " (" + module.describe() + ") is the first that is not";
  });
  const NoGrad no_grad;
  model.set_step(static_cast<uint64_t>(step));
  model(images);
  return layer;
}

std::string where(const TrainingState& state) {
  return text(" is not finite in epoch ", state.epoch + 1, ", batch ", state.batch + 1);
}

/// What an optimizer averages of a curvature, where there is one.
Tensor averaged_curvature(const Parameter& parameter) {
  return parameter.curvature().defined() ? square(parameter.curvature()) : Tensor();
}

/// The first gradient or curvature that is not finite.
std::string first_not_finite(const std::vector<Parameter>& parameters) {
  for (const Parameter& parameter : parameters) {
    if (parameter.grad().defined() && !all_finite(parameter.grad())) return "the gradient of " + parameter.name();
    const Tensor curvature = averaged_curvature(parameter);
    if (curvature.defined() && !all_finite(curvature))
      return "the curvature of " + parameter.name() + ", or its square,";
  }
  return "";
}

/// What captured steps can find out about themselves.
void check_captured(const TrainingState& state, const std::vector<Parameter>& parameters, double lr) {
  std::vector<Tensor> values;
  for (const Parameter& parameter : parameters) values.push_back(parameter.value());
  if (!std::isfinite(state.score.loss_sum) || !optim::all_are_finite(values))
    throw NotFinite(text(
        "[training] the loss or a weight is not finite in epoch ", state.epoch + 1, ", batch ", state.batch,
        ", or became so a few batches before: --graph off tells more; a smaller learning rate than ", lr, " may help"));
}

/// The buffers of a model (running statistics), which a forward pass changes before anything is known of its loss.
class Buffers {
 public:
  Buffers(const Module& model, const std::vector<Parameter>& parameters) : live_(model.state()) {
    for (const Parameter& parameter : parameters) live_.erase(parameter.name());
  }
  void keep() {
    for (const auto& [name, tensor] : live_) kept_[name] = clone(tensor);
  }
  void restore() {
    for (auto& [name, tensor] : live_) copy_(tensor, kept_.at(name));
  }

 private:
  StateDict live_, kept_;
};

/// Whether a layer of batch normalization has one value per channel of this single image, and so cannot learn from it.
bool needs_more_than(Module& model, const Tensor& image) {
  bool needs = false;
  const CallObserver observer([&](const Module& module, const Var&, const Var& output) {
    if (dynamic_cast<const BatchNorm*>(&module) != nullptr) needs = needs || output.value().numel() == output.size(1);
  });
  const EvalScope evaluation(model);
  const NoGrad no_grad;
  model(image);
  return needs;
}

/// Adds the gradients of a batch's mean loss, part after part, each of `least` images or more where the batch has them,
/// and the batch to the score. Returns what was not finite, "" where everything was.
std::string add_gradients(Module& model, optim::Optimizer& optimizer, const std::vector<Parameter>& parameters,
                          const Batch& batch, int64_t least, TrainingState& state, const EpochOptions& options) {
  const auto& [images, labels] = batch;
  const int64_t all = labels.size(0), parts = std::clamp<int64_t>(all / least, 1, options.accumulate);
  for (int64_t part = 0; part < parts; ++part) {
    const int64_t first = all * part / parts, count = all * (part + 1) / parts - first;
    const Tensor some_images = parts == 1 ? images : slice(images, 0, first, first + count);
    const Tensor some_labels = parts == 1 ? labels : slice(labels, 0, first, first + count);
    const Var logits = model(some_images);
    const Var loss = cross_entropy(logits, some_labels, {.label_smoothing = options.label_smoothing});
    const double mean_loss = loss.item();
    if (!std::isfinite(mean_loss))
      return "the loss" + where(state) + origin(model, parameters, some_images, state.step);
    optimizer.backward(parts == 1 ? loss : loss * (static_cast<double>(count) / static_cast<double>(all)));
    add(state.score, mean_loss, logits.value(), some_labels);
  }
  std::vector<Tensor> all_of_them;
  for (const Parameter& parameter : parameters)
    for (const Tensor& x : {parameter.grad(), averaged_curvature(parameter)})
      if (x.defined()) all_of_them.push_back(x);
  return optim::all_are_finite(all_of_them) ? "" : first_not_finite(parameters) + where(state);
}

void step(optim::Optimizer& optimizer, const EpochOptions& options) {
  optimizer.step();
  if (options.ema) options.ema->update();
}

}  // namespace

std::optional<Score> train_epoch(Module& model, optim::Optimizer& optimizer, const Loader& loader, TrainingState& state,
                                 const AfterBatch& after, const EpochOptions& options) {
  const std::vector<Parameter> parameters = model.parameters();
  Buffers buffers(model, parameters);
  std::string problem;
  model.train();
  CapturedStep* captured = options.accumulate == 1 && !options.skip ? options.captured : nullptr;
  const int64_t full = loader.options().batch, least = full / 2 >= options.accumulate ? 2 : 1;
  for (const Batch& batch : loader.epoch(state.epoch, state.batch)) {
    const bool too_small =
        batch.labels.size(0) == 1 && full > 1 && loader.batches() > 1 && needs_more_than(model, batch.images);
    const bool was_captured = captured && !too_small && captured->take(batch, state.step, state.score);
    if (was_captured) {
      step(optimizer, options);
    } else {
      if (captured && captured->collect(state.score)) check_captured(state, parameters, optimizer.lr());
      model.set_step(static_cast<uint64_t>(state.step));
      optimizer.zero_grad();
      if (options.skip) buffers.keep();
      const Score before = state.score;
      problem = too_small ? "" : add_gradients(model, optimizer, parameters, batch, least, state, options);
      if (too_small) {
        optimizer.skip();
        if (options.left_out)
          options.left_out(text("batch ", state.batch + 1, " of epoch ", state.epoch + 1,
                                " is a single image, from which batch normalization cannot learn"));
      } else if (problem.empty()) {
        step(optimizer, options);
      } else {
        state.score = before;
        if (!options.skip)
          throw NotFinite(text("[training] ", problem, "; a smaller learning rate than ", optimizer.lr(), " may help"));
        buffers.restore();
        optimizer.skip();
        ++state.score.skipped;
        options.skip(problem);
      }
    }
    ++state.batch;
    ++state.step;
    if (was_captured) {
      if (!captured->due(state.step) && state.batch < loader.batches()) continue;
      captured->collect(state.score);
      check_captured(state, parameters, optimizer.lr());
    }
    if (!after(state.score)) return std::nullopt;
  }
  const Score complete = state.score;
  if (complete.images == 0)
    throw NotFinite(text("[training] no batch of epoch ", state.epoch + 1, " could be learned from: ", problem,
                         "; a smaller learning rate than ", optimizer.lr(), " may help"));
  state = {.epoch = state.epoch + 1, .step = state.step};
  return complete;
}

std::optional<Score> evaluate(Module& model, const Loader& loader, const AfterBatch& after) {
  const EvalScope eval(model);
  const NoGrad no_grad;
  Score score;
  for (const auto& [images, labels] : loader.epoch(0)) {
    const Var logits = model(images);
    add(score, cross_entropy(logits, labels).item(), logits.value(), labels);
    score.correct_top5 += count_correct(logits.value(), labels, 5);
    if (!after(score)) return std::nullopt;
  }
  return score;
}

}  // namespace gradus::apps
