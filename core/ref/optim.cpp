// Reference kernels of optimizers.
#include <vector>

#include "core/kernels.h"
#include "core/ref/loops.h"

namespace gradus::ref {

namespace {

/// What the second moment averages in place of a squared gradient.
template <class T>
double averaged_curvature(const RuleUpdate& rule, int64_t i) {
  const double h = pointer<T>(*rule.curvature)[i];
  return rule.magnitudes ? std::abs(h) : h * h;
}

/// The rule's step of element i of `value` along u.
template <class T>
void rule_step(const RuleUpdate& rule, double u, T* value, int64_t i) {
  using Kind = RuleUpdate::Kind;
  double d = u;
  if (rule.kind == Kind::adam || rule.kind == Kind::curvature) {
    T &first = pointer<T>(*rule.first)[i], &second = pointer<T>(*rule.second)[i];
    const AdamSpec& adam = rule.adam;
    first = static_cast<T>(adam.beta1 * first + (1 - adam.beta1) * u);
    const double more = rule.kind == Kind::adam ? u * u : averaged_curvature<T>(rule, i);
    second = static_cast<T>(adam.beta2 * second + (1 - adam.beta2) * more);
    const double corrected = second / adam.correction2;
    d = (first / adam.correction1) / ((rule.root ? std::sqrt(corrected) : corrected) + adam.eps);
  } else if (rule.kind == Kind::squares) {
    T& sum = pointer<T>(*rule.second)[i];
    sum = static_cast<T>(rule.squares.keep * sum + rule.squares.add * u * u);
    d = rule.squares.factor * u / (std::sqrt(double{sum}) + rule.squares.eps);
    if (rule.first) {
      T& velocity = pointer<T>(*rule.first)[i];
      d = velocity = static_cast<T>(rule.momentum * velocity + d);
    }
  } else if (rule.kind != Kind::plain) {
    T& velocity = pointer<T>(*rule.first)[i];
    velocity = static_cast<T>(rule.momentum * velocity + u);
    d = rule.kind == Kind::momentum ? velocity : u + rule.momentum * velocity;
  }
  value[i] = static_cast<T>((1 - rule.lr * rule.decay) * value[i] - rule.lr * d);
}

template <class T>
void update_one(const ParameterUpdate& p) {
  const int64_t n = p.p ? p.p->shape()[0] : 1;
  T* value = pointer<T>(*p.value);
  const T *previous = p.previous ? pointer<T>(*p.previous) : nullptr, *matrix = p.p ? pointer<T>(*p.p) : nullptr;
  const T* correlated = p.correlated ? pointer<T>(*p.correlated) : nullptr;
  T* diagonal = p.diagonal ? pointer<T>(*p.diagonal) : nullptr;
  std::vector<T> x(static_cast<size_t>(n));
  std::vector<double> correlation(static_cast<size_t>(n * n));
  for (int64_t row = 0; row < p.value->numel(); row += n) {
    const T* meets = correlated ? correlated + row : x.data();
    for (int64_t i = 0; i < n; ++i) {
      double g = p.factor * pointer<T>(*p.gradient)[row + i];
      if (p.limit > 0 && std::abs(g) > p.limit) g = g > 0 ? p.limit : -p.limit;  // no number stays none
      x[static_cast<size_t>(i)] = static_cast<T>(g + p.decay * value[row + i]);
      if (p.kept) pointer<T>(*p.kept)[row + i] = x[static_cast<size_t>(i)];
    }
    for (int64_t i = 0; i < n; ++i) {
      double u = matrix ? 0 : x[0];
      for (int64_t j = 0; matrix && j < n; ++j) u += double{matrix[i * n + j]} * x[static_cast<size_t>(j)];
      if (diagonal) u *= diagonal[row];
      rule_step(p.rule, u + p.late_decay * value[row + i], value, row + i);
      for (int64_t j = 0; p.correlation && j < n; ++j)
        correlation[static_cast<size_t>(i * n + j)] += double{meets[i]} * previous[row + j];
    }
    if (diagonal && previous) rule_step(p.hyper, p.hyper_factor * meets[0] * previous[row], diagonal, row);
  }
  for (size_t i = 0; p.correlation && i < correlation.size(); ++i)
    pointer<T>(*p.correlation)[i] = static_cast<T>(correlation[i]);
}

}  // namespace

void update(std::span<const ParameterUpdate> parameters, std::span<const MatrixUpdate> matrices) {
  for (const ParameterUpdate& p : parameters)
    visit_floating("update", p.value->dtype(), [&]<class T>(T) { update_one<T>(p); });
  update_matrices(matrices);
}

namespace {

/// The form's P for the matrix m [n, n].
template <class T>
std::vector<double> form_of(MatrixUpdate::Form form, const T* m, int64_t n) {
  using Form = MatrixUpdate::Form;
  std::vector<double> p;
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < n; ++j) {
      double& to = p.emplace_back(form == Form::product_plus && i == j ? 1 : 0);
      if (form == Form::plain) to = m[i * n + j];
      if (form == Form::symmetric) to = (double{m[i * n + j]} + m[j * n + i]) / 2;
      if (form == Form::product || form == Form::product_plus)
        for (int64_t k = 0; k < n; ++k) to += double{m[i * n + k]} * m[j * n + k];
    }
  return p;
}

double inner(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

template <class T>
void update_matrix(const MatrixUpdate& u) {
  using Form = MatrixUpdate::Form;
  const int64_t n = u.correlation->shape()[0];
  T* m = pointer<T>(*u.matrix);
  std::vector<double> c(pointer<T>(*u.correlation), pointer<T>(*u.correlation) + n * n);
  if (u.norm > 0 && u.differentiate_norm) {
    const std::vector<double> q = form_of(u.form, m, n);
    const double squares = inner(q, q), part = inner(q, c) / squares;
    for (size_t i = 0; i < c.size(); ++i) c[i] = u.norm / std::sqrt(squares) * (c[i] - part * q[i]);
  }
  std::vector<double> h = c;
  const auto sum_at = [&](int64_t i, int64_t j) {
    return c[static_cast<size_t>(i * n + j)] + c[static_cast<size_t>(j * n + i)];
  };
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < n && u.form != Form::plain; ++j) {
      double to = 0;
      if (u.form == Form::symmetric)
        to = sum_at(i, j) / 2;
      else
        for (int64_t k = 0; k < n; ++k) to += sum_at(i, k) * m[k * n + j];
      h[static_cast<size_t>(i * n + j)] = to;
    }
  for (int64_t i = 0; i < n * n; ++i) rule_step(u.rule, u.factor * h[static_cast<size_t>(i)], m, i);
  if (!u.p) return;
  const std::vector<double> p = form_of(u.form, m, n);
  const double k = u.norm > 0 ? u.norm / std::sqrt(inner(p, p)) : 1;
  for (size_t i = 0; i < p.size(); ++i) pointer<T>(*u.p)[i] = static_cast<T>(k * p[i]);
}

}  // namespace

void update_matrices(std::span<const MatrixUpdate> matrices) {
  for (const MatrixUpdate& u : matrices)
    visit_floating("update_matrices", u.matrix->dtype(), [&]<class T>(T) { update_matrix<T>(u); });
}

}  // namespace gradus::ref
