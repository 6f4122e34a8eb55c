#include "apps/common/captured_step.h"

#include <utility>

#include "autograd/ops.h"
#include "core/accelerator.h"
#include "core/error.h"
#include "core/ops.h"

namespace gradus::apps {
namespace {

// Plain steps before the first capture: they choose convolution plans and fill the cache of memory.
constexpr int64_t warm_up = 2;

}  // namespace

CapturedStep::CapturedStep(Module& model, optim::Optimizer& optimizer, CapturedStepOptions options)
    : model_(model), optimizer_(optimizer), options_(std::move(options)), parameters_(model.parameters()) {
  if (!StepGraph::possible())
    obstacle_ = "this device captures no work";
  else if (optimizer.curvature())
    obstacle_ = "the optimizer asks for curvature, whose random signs are the host's choice";
}

bool CapturedStep::take(const Batch& batch, int64_t step, Score& score) {
  if (!obstacle_.empty()) return false;
  if (!batch_.images.defined() || !(batch.images.shape() == batch_.images.shape())) {
    if (captured_in_) return false;
    seen_ = 0;
    batch_ = {clone(batch.images), clone(batch.labels)};
  }
  if (seen_++ < warm_up) return false;
  if (!captured_in_ && !capture(step)) return false;

  if (std::exchange(collected_, false))
    copy_(sums_, Tensor::from<double>({score.loss_sum, static_cast<double>(score.correct)}, {2}));
  copy_(batch_.images, batch.images);
  copy_(batch_.labels, batch.labels);
  graph_.replay(0, step - *captured_in_);
  for (size_t i = 0; i < parameters_.size(); ++i) {
    parameters_[i].clear_grad();
    if (!gradients_[i].defined()) continue;
    gradients_[i].bump_version();
    parameters_[i].set_grad(gradients_[i]);
  }
  score.images += batch.labels.size(0);
  ++taken_;
  return true;
}

bool CapturedStep::capture(int64_t step) {
  if (!sums_.defined()) sums_ = Tensor::zeros({2}, DType::float64);
  model_.set_step(static_cast<uint64_t>(step));
  try {
    graph_.capture([this] { forward_and_backward(); });
  } catch (const Error& error) {
    obstacle_ = error.what();
    graph_ = StepGraph();  // its memory serves plain steps
    warn("steps are not captured: " + obstacle_);
    return false;
  }
  for (const Parameter& parameter : parameters_) gradients_.push_back(parameter.grad());
  captured_in_ = step;
  return true;
}

void CapturedStep::forward_and_backward() {
  optimizer_.zero_grad();
  const Var logits = model_(batch_.images);
  const Var loss = cross_entropy(logits, batch_.labels, {.label_smoothing = options_.label_smoothing});
  optimizer_.backward(loss);
  // As a plain step adds them on the host: in float64, batch after batch.
  Tensor loss_sum = slice(sums_, 0, 0, 1), hits = slice(sums_, 0, 1, 2);
  add_(loss_sum, reshape(cast(loss.value(), DType::float64), {1}), static_cast<double>(batch_.labels.size(0)));
  const Tensor right = equal(argmax(logits.value(), 1), batch_.labels);
  add_(hits, reshape(sum(cast(right, DType::float64)), {1}));
}

bool CapturedStep::collect(Score& score) {
  if (std::exchange(collected_, true)) return false;
  const std::vector<double> sums = sums_.to_vector<double>();
  score.loss_sum = sums[0];
  score.correct = static_cast<int64_t>(sums[1]);
  return true;
}

}  // namespace gradus::apps
