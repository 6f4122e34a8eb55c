// Operations of optimizers that are one kernel instead of many.
#include "core/error.h"
#include "core/ops.h"
#include "core/ops_check.h"

namespace gradus {

namespace {

/// What an update writes, and that all of it fits the value.
class UpdateCheck {
 public:
  explicit UpdateCheck(const Tensor& value) : value_(value) {
    check::floating("update_", value);
    check::writable("update_", value);
    if (!value.is_dense()) fail(ErrorKind::shape, "update_", "the value ", value.shape(), " has gaps in memory");
  }
  void like(const char* role, const Tensor* x) const {
    if (!x) return;
    check::shape("update_", role, *x, value_.shape());
    check::same_dtype("update_", value_, *x);
    if (!(x->strides() == value_.strides()))
      fail(ErrorKind::shape, "update_", role, " ", x->shape(), " has strides ", x->strides(), ", but the value has ",
           value_.strides());
  }
  void square(const char* role, const Tensor* x, int64_t n) const {
    if (!x) return;
    check::shape("update_", role, *x, {n, n});
    check::same_dtype("update_", value_, *x);
    if (!x->is_contiguous() || n == 0 || value_.numel() % n != 0)
      fail(ErrorKind::shape, "update_", role, " must be contiguous and act on whole rows of ", value_.shape());
  }
  void state(const RuleUpdate& rule) const {
    like("the rule's state", rule.first);
    like("the rule's state", rule.second);
    like("the curvature", rule.curvature);
    using Kind = RuleUpdate::Kind;
    const Kind kind = rule.kind;
    const bool needs_first = kind != Kind::plain && kind != Kind::squares;
    const bool needs_second = kind == Kind::adam || kind == Kind::curvature || kind == Kind::squares;
    if ((needs_first && !rule.first) || (needs_second && !rule.second) || (kind == Kind::curvature && !rule.curvature))
      fail(ErrorKind::value, "update_", "a rule lacks the state that it needs");
  }

 private:
  const Tensor& value_;
};

void check_update(const ParameterUpdate& p) {
  if (!p.value || !p.gradient) fail(ErrorKind::value, "update_", "needs a value and a gradient");
  const UpdateCheck check(*p.value);
  check.like("the gradient", p.gradient);
  check.like("what is kept", p.kept);
  check.like("the previous gradient", p.previous);
  check.like("what is correlated with the previous gradient", p.correlated);
  check.like("the diagonal", p.diagonal);
  check.state(p.rule);
  if (p.diagonal && p.previous) check.state(p.hyper);
  const int64_t n = p.p ? p.p->size(0) : 1;
  check.square("P", p.p, n);
  check.square("the correlation", p.correlation, n);
  if (p.p && p.diagonal) fail(ErrorKind::value, "update_", "takes P or a diagonal, not both");
  if (p.correlation && !(p.p && p.previous))
    fail(ErrorKind::value, "update_", "a correlation needs P and the previous gradient");
  if (p.correlated && p.rule.kind != RuleUpdate::Kind::plain)
    fail(ErrorKind::value, "update_", "where something else meets the previous gradient, the rule is plain");
}

void check_matrix(const MatrixUpdate& u) {
  constexpr const char* op = "update_matrices_";
  if (!u.matrix || !u.correlation) fail(ErrorKind::value, op, "needs a matrix and its correlation");
  check::floating(op, *u.correlation);
  const int64_t n = u.correlation->rank() == 2 ? u.correlation->size(0) : 0;
  check::shape(op, "the correlation", *u.correlation, {n, n});
  for (const Tensor* x : {static_cast<const Tensor*>(u.matrix), u.correlation, static_cast<const Tensor*>(u.p),
                          static_cast<const Tensor*>(u.rule.first), static_cast<const Tensor*>(u.rule.second)}) {
    if (!x) continue;
    check::same_dtype(op, *u.correlation, *x);
    if (x->numel() != n * n || !x->is_contiguous())
      fail(ErrorKind::shape, op, "all must be contiguous and have the ", n * n,
           " elements of the correlation, but one is ", x->shape());
  }
  UpdateCheck(*u.matrix).state(u.rule);
}

void bump_versions(std::span<const MatrixUpdate> matrices) {
  for (const MatrixUpdate& u : matrices)
    for (const Tensor* written : {u.matrix, u.p, u.rule.first, u.rule.second})
      if (written) written->storage().bump_version();
}

}  // namespace

void update_matrices_(std::span<const MatrixUpdate> matrices) {
  for (const MatrixUpdate& u : matrices) check_matrix(u);
  kernels::update_matrices(matrices);
  bump_versions(matrices);
}

void update_(std::span<const ParameterUpdate> parameters, std::span<const MatrixUpdate> matrices) {
  for (const ParameterUpdate& p : parameters) check_update(p);
  for (const MatrixUpdate& u : matrices) check_matrix(u);
  kernels::update(parameters, matrices);
  for (const ParameterUpdate& p : parameters)
    for (const Tensor* written :
         {p.value, p.kept, p.correlation, p.diagonal, p.rule.first, p.rule.second, p.hyper.first, p.hyper.second})
      if (written) written->storage().bump_version();
  bump_versions(matrices);
}

}  // namespace gradus
