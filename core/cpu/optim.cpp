// The CPU's kernels of optimizers: flat vector loops over dense float32 tensors; the reference's otherwise.
#include <algorithm>
#include <cmath>
#include <vector>

#include "core/cpu/loops.h"
#include "core/cpu/vector/kernels.h"
#include "core/kernels.h"
#include "core/parallel.h"

namespace gradus::kernels {

namespace {

float narrow(double x) { return static_cast<float>(x); }
float* floats(const Tensor* x) { return x ? static_cast<float*>(x->raw()) : nullptr; }

cpu::vector::AdamFactors factors_of(const AdamSpec& spec) {
  return {.beta1 = narrow(spec.beta1),
          .rest1 = narrow(1 - spec.beta1),
          .beta2 = narrow(spec.beta2),
          .rest2 = narrow(1 - spec.beta2),
          .scale1 = narrow(1 / spec.correction1),
          .scale2 = narrow(1 / std::sqrt(spec.correction2)),
          .eps = narrow(spec.eps)};
}

cpu::vector::SquaresFactors factors_of(const SquaresSpec& spec) {
  return {.keep = narrow(spec.keep), .add = narrow(spec.add), .eps = narrow(spec.eps), .factor = narrow(spec.factor)};
}

}  // namespace

// update(): parameters are cut into stretches, which the threads share, and stretches into tiles that stay in the L1
// cache while the vector loops of each stage pass over them: memory is read and written once. The loops are those of
// the separate operations, so that the bits are the same too.
namespace {

constexpr int64_t tile_elements = 576, stretch_elements = 28 * tile_elements;  // whole cache lines of rows of nine too
constexpr int64_t most_tile_rows = cpu::vector::small_matmul_depth;

/// Whole rows of one parameter.
struct Stretch {
  const ParameterUpdate* parameter;
  int64_t begin, end;
  size_t totals;  ///< where its share of the correlation begins
};

/// y = alpha x + beta y; beta 0 ignores what y holds.
void axpby(double alpha, const float* x, double beta, float* y, int64_t n) {
  const auto& table = cpu::vector::kernels();
  if (narrow(beta) == 0) return table.scale(narrow(alpha), x, y, n);
  table.axpby(narrow(alpha), x, narrow(beta), y, n);
}

class RuleLoop {
 public:
  RuleLoop(const RuleUpdate& rule, const Tensor* value)
      : rule_(rule),
        adam_(factors_of(rule.adam)),
        factors_{narrow(-rule.lr), narrow(1 - rule.lr * rule.decay)},
        first_(floats(rule.first)),
        second_(floats(rule.second)),
        curvature_(floats(rule.curvature)),
        value_(floats(value)) {}

  /// The step of elements [at, at + n) along u, with room for n more.
  void step(const float* u, int64_t at, int64_t n, float* room) const {
    const auto& table = cpu::vector::kernels();
    if (rule_.kind == RuleUpdate::Kind::momentum && narrow(rule_.momentum) != 0 && factors_.keep != 0)
      return table.momentum_step(narrow(rule_.momentum), factors_, u, first_ + at, value_ + at, n);
    if (rule_.kind == RuleUpdate::Kind::adam && factors_.keep != 0)
      return table.adam_step(adam_, factors_, u, first_ + at, second_ + at, value_ + at, n);
    if (rule_.kind == RuleUpdate::Kind::curvature && factors_.keep != 0)
      return table.curvature_step[rule_.magnitudes][rule_.root](adam_, factors_, u, curvature_ + at, first_ + at,
                                                                second_ + at, value_ + at, n);
    const float* direction = u;
    switch (rule_.kind) {
      case RuleUpdate::Kind::plain: break;
      case RuleUpdate::Kind::momentum:
        axpby(1, u, rule_.momentum, first_ + at, n);
        direction = first_ + at;
        break;
      case RuleUpdate::Kind::nesterov:
        axpby(1, u, rule_.momentum, first_ + at, n);
        std::copy_n(u, n, room);
        axpby(rule_.momentum, first_ + at, 1, room, n);
        direction = room;
        break;
      case RuleUpdate::Kind::adam:
        table.adam(adam_, u, first_ + at, second_ + at, room, n);
        direction = room;
        break;
      case RuleUpdate::Kind::curvature:
        table.adam_of_curvature[rule_.magnitudes][rule_.root](adam_, u, curvature_ + at, first_ + at, second_ + at,
                                                              room, n);
        direction = room;
        break;
      case RuleUpdate::Kind::squares:
        table.divide_by_root(factors_of(rule_.squares), u, second_ + at, room, n);
        direction = room;
        if (!first_) break;
        axpby(1, room, rule_.momentum, first_ + at, n);
        direction = first_ + at;
        break;
    }
    axpby(-rule_.lr, direction, 1 - rule_.lr * rule_.decay, value_ + at, n);
  }

  /// Whether step_of_product() has time to ask for what comes next.
  bool takes_time() const { return rule_.kind == RuleUpdate::Kind::adam && value_ && factors_.keep != 0; }

  /// The same along factor a b, which overwrites `room` and `more`.
  void step_of_product(double factor, const float* a, const float* b, int64_t at, int64_t n, float* room, float* more,
                       const cpu::vector::Ahead& ahead) const {
    const auto& table = cpu::vector::kernels();
    if (rule_.kind == RuleUpdate::Kind::adam && factors_.keep != 0)
      return table.adam_step_of_product(adam_, factors_, narrow(factor), a, b, first_ + at, second_ + at, value_ + at,
                                        n, ahead);
    const float scale = narrow(factor);
    const auto& multiply = table.binary[static_cast<int>(BinaryOp::mul)];
    multiply[static_cast<int>(cpu::vector::Form::both)](a, b, room, n, 0);
    multiply[static_cast<int>(cpu::vector::Form::left)](room, &scale, room, n, 0);
    step(room, at, n, more);
  }

 private:
  const RuleUpdate& rule_;
  cpu::vector::AdamFactors adam_;
  cpu::vector::StepFactors factors_;
  float *first_, *second_, *curvature_, *value_;
};

/// One stretch, tile by tile.
class StretchUpdate {
 public:
  StretchUpdate(const Stretch& stretch, double* totals)
      : p_(*stretch.parameter),
        totals_(p_.correlation ? totals + stretch.totals : nullptr),
        n_(row_length(p_)),
        matrix_(floats(p_.p)),
        previous_(floats(p_.previous)),
        correlated_(floats(p_.correlated)),
        diagonal_(floats(p_.diagonal)),
        rule_(p_.rule, p_.value),
        hyper_(p_.hyper, p_.diagonal) {
    if (n_ == cpu::vector::nine)
      for (int64_t i = 0; i < n_ * n_; ++i) transposed_[i] = matrix_[i % n_ * n_ + i / n_];
    const int64_t tile = std::min(tile_elements / n_, most_tile_rows) * n_;
    for (int64_t at = stretch.begin; at < stretch.end; at += tile) {
      ask_for(at + tile, std::clamp<int64_t>(stretch.end - at - tile, 0, tile));
      run(at, std::min(tile, stretch.end - at));
    }
  }

  static int64_t row_length(const ParameterUpdate& p) { return p.p ? p.p->shape()[0] : 1; }

 private:
  using Form = cpu::vector::Form;

  /// The next tile of every array, while this one is computed: each is read in a stage of its own, too late for the
  /// processor to see a stream. Where there is work enough it is asked for bit by bit; all at once it would be waited
  /// for.
  void ask_for(int64_t at, int64_t count) {
    ahead_.count = 0;
    if (count == 0) return;
    for (const Tensor* array : {p_.gradient, static_cast<const Tensor*>(p_.value), p_.previous, p_.correlated,
                                static_cast<const Tensor*>(p_.rule.first), static_cast<const Tensor*>(p_.rule.second),
                                static_cast<const Tensor*>(p_.diagonal), static_cast<const Tensor*>(p_.hyper.first),
                                static_cast<const Tensor*>(p_.hyper.second)})
      if (array) ahead_.arrays[ahead_.count++] = floats(array) + at;
    if (n_ == cpu::vector::nine || hyper_.takes_time()) return;
    constexpr int64_t line = 64 / sizeof(float);
    for (int i = 0; i < ahead_.count; ++i)
      for (int64_t j = 0; j < count; j += line) __builtin_prefetch(ahead_.arrays[i] + j);
  }

  void multiply(Form form, const float* a, const float* b, float* out, int64_t n) const {
    table_.binary[static_cast<int>(BinaryOp::mul)][static_cast<int>(form)](a, b, out, n, 0);
  }

  void run(int64_t at, int64_t count) {
    const float* x = transformed(at, count);
    const float* u = x;
    if (matrix_) {
      mix_rows(x, at, count);
      u = u_;
    } else if (diagonal_) {
      multiply(Form::both, x, diagonal_ + at, u_, count);
      u = u_;
    }
    if (p_.late_decay != 0) {
      if (u != u_) std::copy_n(u, count, u_);
      axpby(p_.late_decay, floats(p_.value) + at, 1, u_, count);
      u = u_;
    }
    rule_.step(u, at, count, room_);
    if (diagonal_ && previous_)
      hyper_.step_of_product(p_.hyper_factor, correlated_ ? correlated_ + at : x, previous_ + at, at, count, u_, room_,
                             ahead_);
  }

  const float* transformed(int64_t at, int64_t count) {
    const float* x = floats(p_.gradient) + at;
    if (p_.factor == 1 && p_.limit == 0 && p_.decay == 0 && !p_.kept) return x;
    float* to = p_.kept ? floats(p_.kept) + at : x_;
    const float factor = narrow(p_.factor), limit = narrow(p_.limit), below = -limit;
    multiply(Form::left, x, &factor, to, count);
    if (p_.limit > 0) {
      const auto bound = [&](BinaryOp op, const float* by) {
        table_.binary[static_cast<int>(op)][static_cast<int>(Form::left)](to, by, to, count, 0);
      };
      bound(BinaryOp::maximum, &below);
      bound(BinaryOp::minimum, &limit);
    }
    if (p_.decay != 0) axpby(p_.decay, floats(p_.value) + at, 1, to, count);
    return to;
  }

  /// u = P x for each row, and the rows' share of the correlation.
  void mix_rows(const float* x, int64_t at, int64_t count) {
    const float* before = totals_ ? previous_ + at : nullptr;
    if (before && correlated_) {
      mix(correlated_ + at, before, count);  // for the sums alone
      before = nullptr;
    }
    mix(x, before, count);
  }

  void mix(const float* x, const float* before, int64_t count) {
    if (n_ == 1) {
      if (!before) return multiply(Form::left, x, matrix_, u_, count);
      totals_[0] += table_.mix_ones(x, before, matrix_[0], u_, count);
    } else if (n_ == cpu::vector::nine) {
      table_.mix_nines(x, before, transposed_, count / n_, u_, totals_, ahead_);
    } else {
      const int64_t rows = count / n_;
      table_.small_matmul(rows, n_, n_, 1, {x, n_, 1}, {matrix_, 1, n_}, 0, u_, n_);
      if (!before) return;
      table_.small_matmul(n_, n_, rows, 1, {x, 1, n_}, {before, n_, 1}, 0, product_, n_);
      for (int64_t i = 0; i < n_ * n_; ++i) totals_[i] += product_[i];
    }
  }

  const cpu::vector::Kernels& table_ = cpu::vector::kernels();
  const ParameterUpdate& p_;
  double* totals_;  ///< null: none asked for
  int64_t n_;
  const float *matrix_, *previous_, *correlated_;
  float* diagonal_;
  RuleLoop rule_, hyper_;
  cpu::vector::Ahead ahead_;
  alignas(64) float x_[tile_elements], u_[tile_elements + cpu::vector::nines_room], room_[tile_elements];
  float transposed_[cpu::vector::nine * cpu::vector::nine], product_[longest_updated_row * longest_updated_row];
};

}  // namespace

void update(std::span<const ParameterUpdate> parameters, std::span<const MatrixUpdate> matrices) {
  std::vector<Stretch> stretches;
  size_t totals = 0;
  int64_t elements = 0;
  for (const ParameterUpdate& p : parameters) {
    const int64_t n = StretchUpdate::row_length(p), count = p.value->numel();
    if (p.value->dtype() != DType::float32 || n > longest_updated_row || count == 0) {
      ref::update({&p, 1});
      continue;
    }
    const int64_t stretch = stretch_elements / n * n;
    for (int64_t begin = 0; begin < count; begin += stretch) {
      stretches.push_back({&p, begin, std::min(begin + stretch, count), totals});
      if (p.correlation) totals += static_cast<size_t>(n * n);
    }
    elements += count;
  }
  std::vector<double> correlations(totals);
  const auto count = static_cast<int64_t>(stretches.size());
  const int64_t grain = elements == 0 ? 1 : 1 + count * cpu::elementwise_grain / elements;
  parallel_for(count, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) StretchUpdate(stretches[static_cast<size_t>(i)], correlations.data());
  });
  const double* share = correlations.data();
  for (size_t i = 0; i < stretches.size();) {
    const ParameterUpdate& p = *stretches[i].parameter;
    const int64_t n = StretchUpdate::row_length(p);
    std::vector<double> sums(p.correlation ? static_cast<size_t>(n * n) : 0);
    for (; i < stretches.size() && stretches[i].parameter == &p; ++i)
      for (double& sum : sums) sum += *share++;
    for (size_t j = 0; j < sums.size(); ++j) floats(p.correlation)[j] = static_cast<float>(sums[j]);
  }
  if (!matrices.empty()) update_matrices(matrices);
}

// update_matrices(): the operations that a preconditioner of one's own would take, so that the bits are the same too;
// the rules' steps are one call of update().
namespace {

/// Contiguous memory as a matrix, or as its transpose.
Tensor square(const Tensor& x, int64_t n, bool transposed = false) {
  const Strides strides = transposed ? Strides{1, n} : Strides{n, 1};
  return Tensor(x.storage(), x.offset(), {n, n}, strides, x.dtype());
}

/// x + x^T.
Tensor with_transpose(const Tensor& x, int64_t n) {
  Tensor sum = Tensor::empty({n, n}, x.dtype());
  binary(BinaryOp::add, square(x, n), square(x, n, true), sum);
  return sum;
}

/// The form's P of the current M.
void make_form(const MatrixUpdate& u, int64_t n, Tensor& p) {
  const Tensor m = square(*u.matrix, n);
  switch (u.form) {
    case MatrixUpdate::Form::plain: return copy(m, p);
    case MatrixUpdate::Form::symmetric: return binary_scalar(BinaryOp::mul, with_transpose(m, n), 0.5, p);
    case MatrixUpdate::Form::product: return matmul(m, square(m, n, true), 1, 0, p);
    case MatrixUpdate::Form::product_plus:
      matmul(m, square(m, n, true), 1, 0, p);
      kernels::axpby(1, Tensor::eye(n, p.dtype()), 1, p);
  }
}

/// The sum over a b.
double inner(const Tensor& a, const Tensor& b) {
  Tensor products = Tensor::empty(a.shape(), a.dtype()), sum = Tensor::empty({1, 1}, a.dtype());
  binary(BinaryOp::mul, a, b, products);
  reduce(ReduceOp::sum, products, sum);
  return sum.item();
}

/// C, or what it becomes through the norm.
Tensor carried(const MatrixUpdate& u, int64_t n) {
  if (u.norm <= 0 || !u.differentiate_norm) return *u.correlation;
  Tensor q = Tensor::empty({n, n}, u.matrix->dtype()), c = Tensor::empty({n, n}, q.dtype());
  make_form(u, n, q);
  const double length = std::sqrt(inner(q, q)), k = u.norm / length, alignment = inner(q, *u.correlation);
  binary_scalar(BinaryOp::mul, *u.correlation, k, c);
  binary_scalar(BinaryOp::mul, q, 1 / length, q);
  kernels::axpby(-k / length * alignment, q, 1, c);
  return c;
}

Tensor gradient_of(const MatrixUpdate& u, int64_t n) {
  const Tensor c = carried(u, n);
  if (u.form == MatrixUpdate::Form::plain) return c;
  Tensor sum = with_transpose(c, n), h = Tensor::empty({n, n}, sum.dtype());
  if (u.form == MatrixUpdate::Form::symmetric)
    binary_scalar(BinaryOp::mul, sum, 0.5, h);
  else
    matmul(sum, square(*u.matrix, n), 1, 0, h);
  return h;
}

void make_p(const MatrixUpdate& u, int64_t n) {
  Tensor p = square(*u.p, n);
  make_form(u, n, p);
  if (u.norm > 0) binary_scalar(BinaryOp::mul, p, u.norm / std::sqrt(inner(p, p)), p);
}

}  // namespace

void update_matrices(std::span<const MatrixUpdate> matrices) {
  std::vector<Tensor> gradients;
  std::vector<ParameterUpdate> steps;
  gradients.reserve(matrices.size());
  for (const MatrixUpdate& u : matrices) {
    gradients.push_back(gradient_of(u, u.correlation->shape()[0]));
    steps.push_back({.value = u.matrix, .gradient = &gradients.back(), .factor = u.factor, .rule = u.rule});
  }
  update(steps);
  for (const MatrixUpdate& u : matrices)
    if (u.p) make_p(u, u.correlation->shape()[0]);
}

}  // namespace gradus::kernels
