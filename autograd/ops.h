// Differentiable operations: the vocabulary of core/ops.h on variables, differentiable any number of times unless said
// otherwise. Errors are those of the core operations. Shapes broadcast as there.
#pragma once

#include <optional>
#include <vector>

#include "autograd/variable.h"
#include "core/ops.h"

namespace gradus {

// ---- Elementwise ---------------------------------------------------------------------------------------------------
Var neg(const Var& x);
Var abs(const Var& x);
Var exp(const Var& x);
Var log(const Var& x);
Var sqrt(const Var& x);
Var rsqrt(const Var& x);
Var reciprocal(const Var& x);
Var square(const Var& x);
Var sin(const Var& x);
Var cos(const Var& x);
Var erf(const Var& x);
Var tanh(const Var& x);
Var sigmoid(const Var& x);
Var softplus(const Var& x);
Var relu(const Var& x);
Var leaky_relu(const Var& x, double slope = 0.01);
Var gelu(const Var& x);
/// x sigmoid(x), also called swish (Elfwing et al. 2018, equation 2).
Var silu(const Var& x);

Var operator-(const Var& x);
Var operator+(const Var& a, const Var& b);
Var operator-(const Var& a, const Var& b);
Var operator*(const Var& a, const Var& b);
Var operator/(const Var& a, const Var& b);
Var operator+(const Var& a, double b);
Var operator-(const Var& a, double b);
Var operator*(const Var& a, double b);
Var operator/(const Var& a, double b);
Var operator+(double a, const Var& b);
Var operator-(double a, const Var& b);
Var operator*(double a, const Var& b);
Var operator/(double a, const Var& b);
/// h += x makes h the sum, a new variable; what was computed from h before keeps its value.
Var& operator+=(Var& a, const Var& b);
Var& operator-=(Var& a, const Var& b);
Var& operator*=(Var& a, const Var& b);
Var& operator/=(Var& a, const Var& b);
Var& operator+=(Var& a, double b);
Var& operator-=(Var& a, double b);
Var& operator*=(Var& a, double b);
Var& operator/=(Var& a, double b);
Var pow(const Var& a, double exponent);
Var pow(const Var& a, const Var& b);
Var pow(double a, const Var& exponent);
/// The gradient goes to the larger (smaller) operand, and to the first where they are equal.
Var maximum(const Var& a, const Var& b);
Var minimum(const Var& a, const Var& b);
Var maximum(const Var& a, double b);
Var minimum(const Var& a, double b);
Var maximum(double a, const Var& b);
Var minimum(double a, const Var& b);
/// The gradient passes where low <= x <= high.
Var clamp(const Var& x, double low, double high);
/// condition ? a : b
Var where(const Tensor& condition, const Var& a, const Var& b);
Var where(const Tensor& condition, const Var& a, double b);
Var where(const Tensor& condition, double a, const Var& b);

// ---- Views and copies ----------------------------------------------------------------------------------------------
Var reshape(const Var& x, const Shape& shape);
Var flatten(const Var& x, int64_t from = 0);
Var transpose(const Var& x, int64_t a, int64_t b);
Var permute(const Var& x, const Dims& order);
Var slice(const Var& x, int64_t dim, int64_t begin, int64_t end, int64_t step = 1);
Var select(const Var& x, int64_t dim, int64_t position);
Var squeeze(const Var& x, int64_t dim);
Var unsqueeze(const Var& x, int64_t dim);
Var expand(const Var& x, const Shape& shape);
Var concat(std::span<const Var> parts, int64_t dim);
Var concat(const std::vector<Var>& parts, int64_t dim);
Var stack(const std::vector<Var>& parts, int64_t dim);
std::vector<Var> split(const Var& x, const std::vector<int64_t>& extents, int64_t dim);
std::vector<Var> chunk(const Var& x, int64_t count, int64_t dim);
std::vector<Var> unbind(const Var& x, int64_t dim);
Var pad(const Var& x, const Dims& before, const Dims& after, double value = 0);
Var contiguous(const Var& x, Layout layout = Layout::contiguous);
/// Between floating dtypes.
Var cast(const Var& x, DType dtype);

// ---- Reductions ----------------------------------------------------------------------------------------------------
Var sum(const Var& x, const Dims& dims = {}, bool keep_dims = false);
Var mean(const Var& x, const Dims& dims = {}, bool keep_dims = false);
/// The gradient is shared equally among the elements that attain the extremum.
Var max(const Var& x, const Dims& dims = {}, bool keep_dims = false);
Var min(const Var& x, const Dims& dims = {}, bool keep_dims = false);
/// log(sum exp(x))
Var logsumexp(const Var& x, const Dims& dims = {}, bool keep_dims = false);
/// The biased one: divided by the number of elements.
Var variance(const Var& x, const Dims& dims = {}, bool keep_dims = false);
Var sum_to(const Var& x, const Shape& shape);

// ---- Indexing, linear algebra --------------------------------------------------------------------------------------
Var gather(const Var& x, int64_t dim, const Tensor& index);
Var index_select(const Var& x, int64_t dim, const Tensor& index);
Var scatter_add(const Var& x, int64_t dim, const Tensor& index, const Var& source);
/// Rows of weight [V, D] by number: index [...] int64 in [0, V) -> [..., D].
Var embedding(const Var& weight, const Tensor& index);
Var matmul(const Var& a, const Var& b);
/// x [..., in] times weight [out, in] transposed, plus an optional bias [out]: one node.
Var linear(const Var& x, const Var& weight, const Var& bias = {});

// ---- Convolution and pooling ---------------------------------------------------------------------------------------
/// x [N, I, H, W], weight [O, I/groups, kh, kw], optional bias [O]; with relu the activation is fused into the same
/// node.
Var conv2d(const Var& x, const Var& weight, const Var& bias = {}, const Conv2dSpec& spec = {}, bool relu = false);
/// x [N, I, H, W], weight [I, O/groups, kh, kw], optional bias [O]: as the gradient of conv2d's input, so a stride
/// enlarges.
Var conv_transpose2d(const Var& x, const Var& weight, const Var& bias = {}, const ConvTranspose2dSpec& spec = {});
Var max_pool2d(const Var& x, const Pool2dSpec& spec);
Var avg_pool2d(const Var& x, const Pool2dSpec& spec);
/// Mean over H and W: [N, C, H, W] -> [N, C].
Var global_avg_pool2d(const Var& x);
/// Each pixel becomes a square of factor x factor: [N, C, H, W] -> [N, C, factor H, factor W].
Var upsample_nearest2d(const Var& x, int64_t factor);

// ---- Normalization, softmax, dropout -------------------------------------------------------------------------------
/// With the statistics of this batch: x [N, C, ...], optional weight and bias [C]. `statistics`, where given, receives
/// the batch's mean and biased variance [C] for running averages.
struct BatchStatistics {
  Tensor mean, variance;
};
Var batch_norm(const Var& x, const Var& weight, const Var& bias, double eps, BatchStatistics* statistics = nullptr);
/// With given statistics (evaluation).
Var batch_norm_apply(const Var& x, const Var& weight, const Var& bias, const Tensor& mean, const Tensor& variance,
                     double eps);
/// Over the trailing dimensions of `normalized`, whose shape optional weight and bias have.
Var layer_norm(const Var& x, const Shape& normalized, const Var& weight, const Var& bias, double eps);
/// x [N, C, ...] in groups of C / groups channels; optional weight and bias [C].
Var group_norm(const Var& x, int64_t groups, const Var& weight, const Var& bias, double eps);
Var softmax(const Var& x, int64_t dim);
Var log_softmax(const Var& x, int64_t dim);
Var dropout(const Var& x, double p, const RandomKey& key);
struct AttentionOptions {
  bool causal = false;  ///< position i sees keys 0 to i
  Tensor mask = {};     ///< bool, broadcast to [..., t, s]: true where a position sees that key; if none, it gets 0
};
/// softmax(query key^T / sqrt(d)) value, the softmax over the keys that are seen (Vaswani et al. 2017, equation 1):
/// query [..., t, d], key [..., s, d], value [..., s, e] -> [..., t, e].
Var attention(const Var& query, const Var& key, const Var& value, const AttentionOptions& options = {});

// ---- Losses --------------------------------------------------------------------------------------------------------
enum class Reduction { mean, sum, none };
struct CrossEntropyOptions {
  double label_smoothing = 0;
  Reduction reduction = Reduction::mean;
  /// The label of what is not to count, such as -100: its loss is 0, and the mean is over the others (0 without any).
  std::optional<int64_t> ignore = std::nullopt;
  /// [K]: what an element counts by its label; the mean is divided by the sum of these. Not with smoothing.
  Tensor class_weights = {};
};
/// logits [N, K], labels [N] int64 in [0, K) -> scalar (or [N] for Reduction::none). Also of every pixel or position:
/// logits [N, K, d...] and labels [N, d...]. Floating labels, shaped like the logits, are probabilities of the classes:
/// another network's, or a mixture of two labels. With those go neither `ignore` nor `class_weights`.
Var cross_entropy(const Var& logits, const Tensor& labels, const CrossEntropyOptions& options = {});
Var mse_loss(const Var& x, const Var& target, Reduction reduction = Reduction::mean);
/// |x - target|
Var l1_loss(const Var& x, const Var& target, Reduction reduction = Reduction::mean);
/// Of d = x - target: d^2 / 2 where |d| <= delta, delta (|d| - delta / 2) beyond (Huber 1964).
Var huber_loss(const Var& x, const Var& target, double delta = 1, Reduction reduction = Reduction::mean);
/// -t log p - (1 - t) log(1 - p) of p = sigmoid(logits), for targets t in [0, 1]; it neither overflows nor loses small
/// p.
Var binary_cross_entropy_with_logits(const Var& logits, const Var& target, Reduction reduction = Reduction::mean);
/// Negative logarithm of a normal density without its constant, (log variance + (target - mean)^2 / variance) / 2, all
/// of one shape. The variance must be positive.
Var gaussian_nll_loss(const Var& mean, const Var& variance, const Var& target, Reduction reduction = Reduction::mean);
/// The clipped surrogate of PPO (Schulman et al. 2017, equation 7) with its sign changed, to be minimized:
/// -mean min(r A, clamp(r, 1 - clip, 1 + clip) A), r = pi(action) / old pi(action). Softmax policy: logits [N, K],
/// actions [N] int64, the old policy's log-probabilities of the actions [N], advantages A [N].
Var ppo_loss(const Var& logits, const Tensor& actions, const Tensor& old_log_pi, const Tensor& advantage,
             double clip = 0.2);
/// The same for independent normal distributions: mean, variance and actions [N, A], log-densities and advantages [N].
Var gaussian_ppo_loss(const Var& mean, const Var& variance, const Tensor& actions, const Tensor& old_log_pi,
                      const Tensor& advantage, double clip = 0.2);

}  // namespace gradus
