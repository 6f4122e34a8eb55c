// Reference kernels of optimizers.
#include <vector>

#include "core/kernels.h"
#include "core/ref/loops.h"

namespace gradus::ref {

void adam(const Tensor& g, const AdamSpec& spec, Tensor& m, Tensor& v, Tensor& out) {
  visit_floating("adam", g.dtype(), [&]<class T>(T) {
    const T* gradient = pointer<T>(g);
    T *first = pointer<T>(m), *second = pointer<T>(v), *to = pointer<T>(out);
    for_each_element<4>(g.shape(), {g.strides(), m.strides(), v.strides(), out.strides()}, [&](const Offsets<4>& at) {
      const double x = gradient[at[0]];
      first[at[1]] = static_cast<T>(spec.beta1 * first[at[1]] + (1 - spec.beta1) * x);
      second[at[2]] = static_cast<T>(spec.beta2 * second[at[2]] + (1 - spec.beta2) * x * x);
      to[at[3]] =
          static_cast<T>((first[at[1]] / spec.correction1) / (std::sqrt(second[at[2]] / spec.correction2) + spec.eps));
    });
  });
}

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
  double d = u;
  if (rule.kind == RuleUpdate::Kind::adam || rule.kind == RuleUpdate::Kind::curvature) {
    T &first = pointer<T>(*rule.first)[i], &second = pointer<T>(*rule.second)[i];
    const AdamSpec& adam = rule.adam;
    first = static_cast<T>(adam.beta1 * first + (1 - adam.beta1) * u);
    const double more = rule.kind == RuleUpdate::Kind::adam ? u * u : averaged_curvature<T>(rule, i);
    second = static_cast<T>(adam.beta2 * second + (1 - adam.beta2) * more);
    const double corrected = second / adam.correction2;
    d = (first / adam.correction1) / ((rule.root ? std::sqrt(corrected) : corrected) + adam.eps);
  } else if (rule.kind != RuleUpdate::Kind::plain) {
    T& velocity = pointer<T>(*rule.first)[i];
    velocity = static_cast<T>(rule.momentum * velocity + u);
    d = rule.kind == RuleUpdate::Kind::momentum ? velocity : u + rule.momentum * velocity;
  }
  value[i] = static_cast<T>((1 - rule.lr * rule.decay) * value[i] - rule.lr * d);
}

template <class T>
void update_one(const ParameterUpdate& p) {
  const int64_t n = p.p ? p.p->shape()[0] : 1;
  T* value = pointer<T>(*p.value);
  const T *previous = p.previous ? pointer<T>(*p.previous) : nullptr, *matrix = p.p ? pointer<T>(*p.p) : nullptr;
  T* diagonal = p.diagonal ? pointer<T>(*p.diagonal) : nullptr;
  std::vector<T> x(static_cast<size_t>(n));
  std::vector<double> correlation(static_cast<size_t>(n * n));
  for (int64_t row = 0; row < p.value->numel(); row += n) {
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
        correlation[static_cast<size_t>(i * n + j)] += double{x[static_cast<size_t>(i)]} * previous[row + j];
    }
    if (diagonal && previous) rule_step(p.hyper, p.hyper_factor * x[0] * previous[row], diagonal, row);
  }
  for (size_t i = 0; p.correlation && i < correlation.size(); ++i)
    pointer<T>(*p.correlation)[i] = static_cast<T>(correlation[i]);
}

}  // namespace

void update(std::span<const ParameterUpdate> parameters) {
  for (const ParameterUpdate& p : parameters)
    visit_floating("update", p.value->dtype(), [&]<class T>(T) { update_one<T>(p); });
}

namespace {

template <class T>
void update_matrix(const MatrixUpdate& u) {
  using Form = MatrixUpdate::Form;
  const int64_t n = u.correlation->shape()[0];
  T* m = pointer<T>(*u.matrix);
  const T* c = pointer<T>(*u.correlation);
  std::vector<double> h(static_cast<size_t>(n * n));
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < n; ++j) {
      double& to = h[static_cast<size_t>(i * n + j)];
      if (u.form == Form::plain) to = c[i * n + j];
      if (u.form == Form::symmetric) to = (double{c[i * n + j]} + c[j * n + i]) / 2;
      if (u.form == Form::product || u.form == Form::product_plus)
        for (int64_t k = 0; k < n; ++k) to += (double{c[i * n + k]} + c[k * n + i]) * m[k * n + j];
    }
  for (int64_t i = 0; i < n * n; ++i) rule_step(u.rule, u.factor * h[static_cast<size_t>(i)], m, i);
  for (int64_t i = 0; u.p && i < n; ++i)
    for (int64_t j = 0; j < n; ++j) {
      double p = u.form == Form::product_plus && i == j ? 1 : 0;
      if (u.form == Form::plain) p = m[i * n + j];
      if (u.form == Form::symmetric) p = (double{m[i * n + j]} + m[j * n + i]) / 2;
      if (u.form == Form::product || u.form == Form::product_plus)
        for (int64_t k = 0; k < n; ++k) p += double{m[i * n + k]} * m[j * n + k];
      pointer<T>(*u.p)[i * n + j] = static_cast<T>(p);
    }
}

}  // namespace

void update_matrices(std::span<const MatrixUpdate> matrices) {
  for (const MatrixUpdate& u : matrices)
    visit_floating("update_matrices", u.matrix->dtype(), [&]<class T>(T) { update_matrix<T>(u); });
}

}  // namespace gradus::ref
