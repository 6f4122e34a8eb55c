// Attention, of the operations that it consists of.
#include <cmath>
#include <limits>

#include "autograd/ops.h"
#include "core/check_defined.h"
#include "core/error.h"

namespace gradus {
namespace {

void check_shapes(const Var& query, const Var& key, const Var& value) {
  constexpr const char* op = "attention";
  check::defined(op, query.value(), "the query");
  check::defined(op, key.value(), "the key");
  check::defined(op, value.value(), "the value");
  const bool ranks = query.rank() >= 2 && key.rank() >= 2 && value.rank() >= 2;
  if (!ranks || query.size(-1) != key.size(-1) || query.size(-1) == 0 || key.size(-2) != value.size(-2))
    fail(ErrorKind::shape, op, "expects a query [..., t, d], a key [..., s, d] and a value [..., s, e], got ",
         query.shape(), ", ", key.shape(), " and ", value.shape());
}

}  // namespace

Var attention(const Var& query, const Var& key, const Var& value, const AttentionOptions& options) {
  check_shapes(query, key, value);
  const double scale = 1 / std::sqrt(static_cast<double>(query.size(-1)));
  Var scores = matmul(query * scale, transpose(key, -2, -1));
  Tensor mask = options.mask;
  if (options.causal) {
    const Tensor row = unsqueeze(Tensor::arange(query.size(-2)), 1), column = Tensor::arange(key.size(-2));
    const Tensor earlier = greater_equal(row, column);
    mask = mask.defined() ? logical_and(mask, earlier) : earlier;
  }
  if (mask.defined())
    scores = where(mask, scores, Tensor::full({}, -std::numeric_limits<double>::infinity(), scores.dtype()));
  return matmul(softmax(scores, -1), value);
}

}  // namespace gradus
