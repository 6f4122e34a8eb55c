#include "apps/common/training.h"

#include <cmath>
#include <map>

#include "core/ops.h"
#include "core/state_dict.h"

namespace gradus::apps {
namespace {

int64_t count_correct(const Tensor& logits, const Tensor& labels) {
  const Tensor hits = equal(argmax(logits, 1), labels);
  return static_cast<int64_t>(sum(cast(hits, DType::float64)).item());
}

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

}  // namespace

std::optional<Score> train_epoch(Module& model, optim::Optimizer& optimizer, const Loader& loader, TrainingState& state,
                                 const AfterBatch& after, const EpochOptions& options) {
  const std::vector<Parameter> parameters = model.parameters();
  Buffers buffers(model, parameters);
  std::string problem;
  model.train();
  for (const auto& [images, labels] : loader.epoch(state.epoch, state.batch)) {
    model.set_step(static_cast<uint64_t>(state.step));
    optimizer.zero_grad();
    if (options.skip) buffers.keep();
    const Var logits = model(images);
    const Var loss = cross_entropy(logits, labels, {.label_smoothing = options.label_smoothing});
    const double mean_loss = loss.item();
    problem.clear();
    if (std::isfinite(mean_loss)) {
      optimizer.backward(loss);
      for (const Parameter& parameter : parameters) {
        if (!parameter.grad().defined() || all_finite(parameter.grad())) continue;
        problem = "the gradient of " + parameter.name() + where(state);
        break;
      }
    } else {
      problem = "the loss" + where(state) + origin(model, parameters, images, state.step);
    }
    if (problem.empty()) {
      optimizer.step();
      if (options.ema) options.ema->update();
      add(state.score, mean_loss, logits.value(), labels);
    } else if (options.skip) {
      buffers.restore();
      ++state.score.skipped;
      options.skip(problem);
    } else {
      throw NotFinite(text("[training] ", problem, "; a smaller learning rate than ", optimizer.lr(), " may help"));
    }
    ++state.batch;
    ++state.step;
    if (!after(state.score)) return std::nullopt;
  }
  const Score complete = state.score;
  if (complete.images == 0)
    throw NotFinite(text("[training] no batch of epoch ", state.epoch + 1, " could be learned from: ", problem));
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
    if (!after(score)) return std::nullopt;
  }
  return score;
}

}  // namespace gradus::apps
