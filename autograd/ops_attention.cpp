// Attention, of the operations that it consists of.
#include <cmath>

#include "autograd/ops.h"
#include "core/check_defined.h"
#include "core/error.h"

namespace gradus {
namespace {

void check_operands(const Var& query, const Var& key, const Var& value, const Tensor& mask) {
  constexpr const char* op = "attention";
  check::defined(op, query.value(), "the query");
  check::defined(op, key.value(), "the key");
  check::defined(op, value.value(), "the value");
  const bool ranks = query.rank() >= 2 && key.rank() >= 2 && value.rank() >= 2;
  if (!ranks || query.size(-1) != key.size(-1) || query.size(-1) == 0 || key.size(-2) != value.size(-2))
    fail(ErrorKind::shape, op, "expects a query [..., t, d], a key [..., s, d] and a value [..., s, e], got ",
         query.shape(), ", ", key.shape(), " and ", value.shape());
  if (mask.defined() && mask.dtype() != DType::boolean)
    fail(ErrorKind::dtype, op, "the mask is boolean, true where a key is seen, got ", mask.dtype(),
         ": greater(mask, 0.0)");
}

constexpr double hidden = -1e38;  ///< the score of a key that a query does not see

}  // namespace

Var attention(const Var& query, const Var& key, const Var& value, const AttentionOptions& options) {
  check_operands(query, key, value, options.mask);
  const double scale = 1 / std::sqrt(static_cast<double>(query.size(-1)));
  Var scores = matmul(query * scale, transpose(key, -2, -1));
  Tensor mask = options.mask;
  if (options.causal) {
    const Tensor row = unsqueeze(Tensor::arange(query.size(-2)), 1), column = Tensor::arange(key.size(-2));
    const Tensor earlier = greater_equal(row, column);
    mask = mask.defined() ? logical_and(mask, earlier) : earlier;
  }
  if (!mask.defined()) return matmul(softmax(scores, -1), value);
  broadcast("attention", mask.shape(), scores.shape());  // throws where the mask does not fit
  // As good as -infinity beside a score, and no NaN in a row that has none.
  Var weights = softmax(where(mask, scores, hidden), -1);
  if (options.mask.defined()) weights = where(mask, weights, 0.0);  // a row that has none
  return matmul(weights, value);
}

}  // namespace gradus
