// The clipped surrogate loss of proximal policy optimization (Schulman et al. 2017, equation 7) for softmax and
// Gaussian policies, with the exact diagonal of its Hessian. Both need the score s of the policy's logarithm, d log pi
// / d theta, and its derivative b = ds / d theta: as d pi = pi s, the second derivative of pi is pi (s^2 + b).
#include <numbers>

#include "autograd/autocast.h"
#include "autograd/gradients.h"
#include "core/error.h"

namespace gradus {
namespace {

void check_samples(const char* op, const Shape& policy, const Tensor& old_log_pi, const Tensor& advantage,
                   double clip) {
  for (const Tensor* each : {&old_log_pi, &advantage})
    if (!(each->shape() == Shape{policy[0]}))
      fail(ErrorKind::shape, op, "expects one log-probability and one advantage per sample, [", policy[0],
           "], but one of them is ", each->shape());
  if (!(clip > 0 && clip < 1)) fail(ErrorKind::value, op, "clip must be in (0, 1), got ", clip);
}

/// Of each sample, from the ratio r of the policies.
struct Surrogate {
  Tensor old_log_pi, advantage;  // [N]
  double clip;

  Tensor value(const Tensor& log_pi) const {
    const Tensor r = exp(log_pi - old_log_pi);
    return neg(mean(minimum(r * advantage, clamped(r) * advantage)));
  }
  /// d loss / d log pi [N, 1]: 0 where the clipped ratio is the smaller.
  Var weight(const Var& log_pi) const {
    const Var r = exp(log_pi - old_log_pi);
    const Tensor active = less_equal(r.value() * advantage, clamped(r.value()) * advantage);
    const Tensor factor = where(active, advantage, Tensor::zeros({}, advantage.dtype()));
    return unsqueeze(r * (factor * (-1 / static_cast<double>(advantage.numel()))), 1);
  }

 private:
  Tensor clamped(const Tensor& r) const { return clamp(r, 1 - clip, 1 + clip); }
};

/// A surrogate kept for the gradient.
class SavedSurrogate {
 public:
  explicit SavedSurrogate(const Surrogate& s) : old_log_pi_(s.old_log_pi), advantage_(s.advantage), clip_(s.clip) {}
  Surrogate get(const Inputs& in) const { return {old_log_pi_.get(in).value(), advantage_.get(in).value(), clip_}; }

 private:
  Saved old_log_pi_, advantage_;
  double clip_;
};

/// Gradient and curvature of input i from d loss / d log pi, the score and its derivative.
void differentiate(size_t i, const Var& gy, Inputs in, Curvature h, const Var& weight, const Var& score,
                   const Var& bend) {
  const Var slope = weight * score;
  in[i] = slope * gy;
  if (h) h[i] = weight * (square(score) + bend) * gy + h.y() * square(slope);
}

/// Sum over the dimensions of the logarithms of the densities [N].
template <class Value>
Value log_density(const Value& deviation, const Value& variance) {
  return sum(log(variance * (2 * std::numbers::pi)) + square(deviation) / variance, {1}) * -0.5;
}

}  // namespace

Var ppo_loss(const Var& logits, const Tensor& actions, const Tensor& old_log_pi, const Tensor& advantage, double clip) {
  if (widens(logits))
    return ppo_loss(cast(logits, DType::float32), actions, cast(old_log_pi, DType::float32),
                    cast(advantage, DType::float32), clip);
  check_labels("ppo_loss", logits, actions);
  check_samples("ppo_loss", logits.shape(), old_log_pi, advantage, clip);
  const Tensor index = unsqueeze(actions, 1);
  const Surrogate surrogate{old_log_pi, advantage, clip};
  return record("ppo_loss", surrogate.value(squeeze(gather(log_softmax(logits.value(), 1), 1, index), 1)), {logits},
                [logits = Saved(logits), index = Saved(index), surrogate = SavedSurrogate(surrogate)](
                    const Var& gy, Inputs in, Curvature h) {
                  const Var log_p = log_softmax(logits.get(in), 1), p = exp(log_p);
                  const Tensor& action = index.get(in).value();
                  const Var weight = surrogate.get(in).weight(squeeze(gather(log_p, 1, action), 1));
                  const Tensor taken = scatter_add(Tensor::zeros(p.shape(), p.dtype()), 1, action,
                                                   Tensor::ones(action.shape(), p.dtype()));
                  differentiate(0, gy, in, h, weight, taken - p, p * (p - 1.0));
                });
}

Var gaussian_ppo_loss(const Var& mean, const Var& variance, const Tensor& actions, const Tensor& old_log_pi,
                      const Tensor& advantage, double clip) {
  if (widens(mean) || widens(variance))
    return gaussian_ppo_loss(cast(mean, DType::float32), cast(variance, DType::float32), cast(actions, DType::float32),
                             cast(old_log_pi, DType::float32), cast(advantage, DType::float32), clip);
  if (mean.rank() != 2 || !(variance.shape() == mean.shape()) || !(actions.shape() == mean.shape()))
    fail(ErrorKind::shape, "gaussian_ppo_loss", "mean, variance and actions must all be [N, A], got ", mean.shape(),
         ", ", variance.shape(), " and ", actions.shape(), ". A variance per dimension takes expand()");
  check_samples("gaussian_ppo_loss", mean.shape(), old_log_pi, advantage, clip);
  const Surrogate surrogate{old_log_pi, advantage, clip};
  return record("gaussian_ppo_loss", surrogate.value(log_density(actions - mean.value(), variance.value())),
                {mean, variance},
                [mean = Saved(mean), variance = Saved(variance), actions = Saved(actions),
                 surrogate = SavedSurrogate(surrogate)](const Var& gy, Inputs in, Curvature h) {
                  const Var d = actions.get(in) - mean.get(in), &v = variance.get(in);
                  const Var weight = surrogate.get(in).weight(log_density(d, v));
                  if (in.needs(0)) differentiate(0, gy, in, h, weight, d / v, neg(reciprocal(v)));
                  if (!in.needs(1)) return;
                  const Var score = (square(d) / v - 1.0) / (v * 2.0);
                  differentiate(1, gy, in, h, weight, score, (0.5 - square(d) / v) / square(v));
                });
}

}  // namespace gradus
