#include "apps/common/training.h"

#include <cmath>

#include "core/error.h"
#include "core/ops.h"

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

[[noreturn]] void not_finite(const std::string& what, const TrainingState& state, const optim::Optimizer& optimizer) {
  fail(ErrorKind::value, "training", what, " is not finite in epoch ", state.epoch + 1, ", batch ", state.batch + 1,
       "; a smaller learning rate than ", optimizer.lr(), " may help");
}

}  // namespace

std::optional<Score> train_epoch(Module& model, optim::Optimizer& optimizer, const Loader& loader, TrainingState& state,
                                 const AfterBatch& after) {
  const std::vector<Parameter> parameters = model.parameters();
  model.train();
  for (const auto& [images, labels] : loader.epoch(state.epoch, state.batch)) {
    model.set_step(static_cast<uint64_t>(state.step));
    optimizer.zero_grad();
    const Var logits = model(images);
    const Var loss = cross_entropy(logits, labels);
    const double mean_loss = loss.item();
    if (!std::isfinite(mean_loss)) not_finite("the loss", state, optimizer);
    loss.backward();
    for (const Parameter& parameter : parameters) {
      const Tensor& gradient = parameter.grad();
      if (gradient.defined() && !all_finite(gradient))
        not_finite("the gradient of " + parameter.name(), state, optimizer);
    }
    optimizer.step();
    add(state.score, mean_loss, logits.value(), labels);
    ++state.batch;
    ++state.step;
    if (!after(state.score)) return std::nullopt;
  }
  const Score complete = state.score;
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
