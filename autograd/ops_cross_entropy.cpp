// Cross-entropy: of labels, some of which may not count or count by their class, and of probabilities; of rows, and of
// pictures and sequences by their rows.
#include <utility>

#include "autograd/autocast.h"
#include "autograd/gradients.h"
#include "core/check_defined.h"
#include "core/error.h"
#include "core/step_graph.h"

namespace gradus {
namespace {

void check_integers(const char* op, const Tensor& labels) {
  check::defined(op, labels, "the vector of labels");
  if (labels.dtype() != DType::int64)
    fail(ErrorKind::dtype, op, "labels must be int64, got ", labels.dtype(), ". Convert them with cast()");
}

/// Where element i of this shape lies: "5", or "[0,1,1]".
std::string place_of(int64_t i, const Shape& shape) {
  if (shape.size() == 1) return text(i);
  Dims place = shape;
  for (size_t d = place.size(); d-- > 0; i /= shape[d]) place[d] = i % shape[d];
  return text(place);
}

/// That labels, but for `ignored`, are classes of logits [N, K, d...].
void check_classes(const char* op, const Shape& logits, const Tensor& labels, std::optional<int64_t> ignored = {}) {
  if (capturing()) return;  // there are no values to look at
  const int64_t classes = logits[1];
  const std::vector<int64_t> host = labels.to_vector<int64_t>();
  for (size_t i = 0; i < host.size(); ++i)
    if ((host[i] < 0 || host[i] >= classes) && host[i] != ignored)
      fail(ErrorKind::value, op, "label ", host[i], " at position ", place_of(static_cast<int64_t>(i), labels.shape()),
           " is not in [0, ", classes, "): the logits are ", logits,
           host[i] == -100 || host[i] == 255 ? text("; if it does not count, say .ignore = ", host[i]) : "");
}

}  // namespace

void check_labels(const char* op, const Var& logits, const Tensor& labels) {
  check::defined(op, logits.value());
  check_integers(op, labels);
  if (logits.rank() != 2 || !(labels.shape() == Shape{logits.shape()[0]}))
    fail(ErrorKind::shape, op, "expects logits [N, K] and labels [N], got ", logits.shape(), " and ", labels.shape());
  check_classes(op, logits.shape(), labels);
}

namespace {

constexpr const char* this_op = "cross_entropy";

bool is_soft(const Tensor& labels) { return labels.defined() && is_floating(labels.dtype()); }

/// The shape of the labels of logits [N, K, d...].
Shape positions_of(const Shape& logits) {
  Dims positions = logits;
  positions.erase(1);
  return Shape(positions);
}

/// What may be meant by int64 labels that do not fit.
const char* hint(const Shape& logits, const Shape& labels) {
  if (labels == logits) return ". Probabilities, one-hot ones too, are floating: cast() them";
  const bool classes_last =
      logits.rank() > 2 && labels == Shape(std::span<const int64_t>(logits.begin(), logits.end() - 1));
  return classes_last ? ". Classes that come last are brought second by transpose(logits, 1, -1)" : "";
}

void check_operands(const Var& logits, const Tensor& labels, const CrossEntropyOptions& options) {
  if (!is_soft(labels)) check_integers(this_op, labels);
  if (logits.rank() < 2)
    fail(ErrorKind::shape, this_op, "expects logits [N, K] and labels [N], got ", logits.shape(), " and ",
         labels.shape());
  const bool look_like_classes = labels.shape() == positions_of(logits.shape());
  if (is_soft(labels) && !(labels.shape() == logits.shape()))
    fail(ErrorKind::shape, this_op, "expects probabilities shaped like the logits [N, K, d...], got ", labels.shape(),
         " and ", logits.shape(), look_like_classes ? "; classes are int64: cast() them" : "");
  if (!is_soft(labels) && !look_like_classes)
    fail(ErrorKind::shape, this_op,
         logits.rank() == 2 ? "expects logits [N, K] and labels [N], got "
                            : "expects logits [N, K, d...] and labels [N, d...], got ",
         logits.shape(), " and ", labels.shape(), hint(logits.shape(), labels.shape()));
  if (!is_soft(labels)) check_classes(this_op, logits.shape(), labels, options.ignore);
}

void check_options(const Var& logits, bool soft, const CrossEntropyOptions& options) {
  const double smoothing = options.label_smoothing;
  const Tensor& weights = options.class_weights;
  if (!(smoothing >= 0 && smoothing <= 1))
    fail(ErrorKind::value, this_op, "label_smoothing must be in [0, 1], got ", smoothing);
  if (soft && (options.ignore || weights.defined()))
    fail(ErrorKind::value, this_op, "probabilities go with neither ignore nor class_weights");
  if (weights.defined() && !(weights.shape() == Shape{logits.size(1)}))
    fail(ErrorKind::shape, this_op, "expects one class weight for each of the ", logits.size(1),
         " classes of the logits ", logits.shape(), ", got ", weights.shape());
  if (weights.defined() && smoothing != 0)
    fail(ErrorKind::value, this_op, "class_weights do not go with label_smoothing, here ", smoothing);
}

/// Logits [N, K, d...] as rows of classes; of channels-last pictures without a copy.
Var rows_of_classes(const Var& logits) {
  if (logits.rank() == 2) return logits;
  Dims order = {0};
  for (int d = 2; d < logits.rank(); ++d) order.push_back(d);
  order.push_back(1);
  return reshape(permute(logits, order), {numel(positions_of(logits.shape())), logits.size(1)});
}

/// What the softmax should be: 1 - smoothing at the label, plus smoothing / K everywhere.
Tensor target_distribution(const Tensor& index, const Shape& logits, double smoothing, DType dtype) {
  const Tensor base = Tensor::full(logits, smoothing / static_cast<double>(logits[1]), dtype);
  return scatter_add(base, 1, index, Tensor::full(index.shape(), 1 - smoothing, dtype));
}

/// Gradient and curvature of the loss -sum t log p for rows of logits x and targets t, whose sums are `mass`; undefined
/// where those are 1.
void to_logits(const Var& x, const Tensor& t, const Tensor& mass, double share, Reduction reduction, const Var& gy,
               Inputs in, Curvature h) {
  const auto per_row = [&](const Var& v) { return reduction == Reduction::none ? unsqueeze(v, 1) : v; };
  const Var g = per_row(gy) * share, p = softmax(x, 1), slope = (mass.defined() ? p * mass : p) - t;
  in[0] = slope * g;
  if (!h) return;
  const Var weight = h.elementwise_softmax() ? g * t : mass.defined() ? g * mass : g;
  h[0] = weight * (p * (1.0 - p)) + per_row(h.y()) * square(slope * share);
}

/// Of rows of logits [N, K] and their labels [N], which are all classes.
Var of_labels(const Var& logits, const Tensor& labels, double smoothing, Reduction reduction) {
  const auto [losses, normalizers] = cross_entropy(logits.value(), labels, smoothing);
  return record(this_op, reduced(losses, reduction), {logits},
                [logits = Saved(logits), labels = Saved(labels), normalizers = normalizers, smoothing, reduction,
                 share = share(losses, reduction)](const Var& gy, Inputs in, Curvature h) {
                  const Var& x = logits.get(in);
                  const Tensor y = labels.get(in).value();
                  if (!recording() && !h) {
                    in[0] = cross_entropy_backward(gy.value(), x.value(), y, normalizers, smoothing, share);
                    return;
                  }
                  const Tensor target = target_distribution(unsqueeze(y, 1), x.shape(), smoothing, x.dtype());
                  to_logits(x, target, {}, share, reduction, gy, in, h);
                });
}

/// Of rows of logits and of probabilities, [N, K] both.
Var of_probabilities(const Var& logits, const Tensor& target, double smoothing, Reduction reduction) {
  const Tensor t = smoothing == 0 ? target : target * (1 - smoothing) + smoothing / static_cast<double>(logits.size(1));
  const Tensor losses = neg(sum(t * log_softmax(logits.value(), 1), {1}));
  return record(this_op, reduced(losses, reduction), {logits},
                [logits = Saved(logits), t = Saved(t), mass = sum(t, {1}, true), reduction,
                 share = share(losses, reduction)](const Var& gy, Inputs in, Curvature h) {
                  to_logits(logits.get(in), t.get(in).value(), mass, share, reduction, gy, in, h);
                });
}

/// Of the rows whose label is not ignored, each by its class's weight; 0 where there is none.
Var of_some(const Var& logits, const Tensor& labels, const CrossEntropyOptions& options) {
  // What is ignored may be anything, also no number, and gets no gradient.
  const Tensor counts = options.ignore ? not_equal(labels, static_cast<double>(*options.ignore))
                                       : Tensor::ones(labels.shape(), DType::boolean);
  const Var x = options.ignore ? where(unsqueeze(counts, 1), logits, 0) : logits;
  const Tensor y = where(counts, labels, 0);
  const Var all = of_labels(x, y, options.label_smoothing, Reduction::none);
  const Tensor& by_class = options.class_weights;
  const Tensor weights = by_class.defined() ? where(counts, index_select(cast(by_class, all.dtype()), 0, y), 0)
                                            : cast(counts, all.dtype());
  const Var counted = where(counts, all, 0), losses = by_class.defined() ? counted * weights : counted;
  if (options.reduction == Reduction::none) return losses;
  if (options.reduction == Reduction::sum) return sum(losses);
  const Tensor whole = sum(weights);
  return sum(losses) / where(equal(whole, 0), Tensor::ones({}, whole.dtype()), whole);
}

}  // namespace

Var cross_entropy(const Var& logits, const Tensor& labels, const CrossEntropyOptions& options) {
  check::defined(this_op, logits.value());
  if (widens(logits)) return cross_entropy(cast(logits, DType::float32), labels, options);
  check_operands(logits, labels, options);
  check_options(logits, is_soft(labels), options);
  const Var x = rows_of_classes(logits);
  const auto loss = [&] {
    if (is_soft(labels)) {
      const Tensor target = rows_of_classes(cast(labels, x.dtype())).value();
      return of_probabilities(x, target, options.label_smoothing, options.reduction);
    }
    const Tensor y = reshape(labels, {labels.numel()});
    const bool all = !options.ignore && !options.class_weights.defined();
    return all ? of_labels(x, y, options.label_smoothing, options.reduction) : of_some(x, y, options);
  };
  const bool reshapes = options.reduction == Reduction::none && logits.rank() > 2;
  return reshapes ? reshape(loss(), positions_of(logits.shape())) : loss();
}

}  // namespace gradus
