// Attention over a sequence.
#include "layers/attention.h"

#include "core/check_defined.h"
#include "core/error.h"
#include "layers/init.h"

namespace gradus {
namespace {

int64_t checked(int64_t features, int64_t heads) {
  if (features < 1 || heads < 1 || features % heads != 0)
    fail(ErrorKind::value, "SelfAttention", "expects a number of features that the number of heads divides, got ",
         features, " features and ", heads, " heads");
  return features;
}

}  // namespace

SelfAttention::SelfAttention(int64_t features, const SelfAttentionOptions& options)
    : features_(checked(features, options.heads)),
      options_(options),
      in_weight_(
          parameter("in_proj_weight", Tensor::empty({3 * features, features}),
                    {.layer = LayerKind::linear, .role = ParamRole::weight, .out = 3 * features, .in = features})),
      in_bias_(parameter("in_proj_bias", Tensor::zeros({3 * features}),
                         {.layer = LayerKind::linear, .role = ParamRole::bias, .out = 3 * features, .in = features})),
      out_(child("out_proj", Linear(features, features))) {
  init::xavier_uniform(in_weight_.value());
  init::zeros(out_.bias().value());
}

Var SelfAttention::forward(const Var& x) {
  check::defined("SelfAttention", x.value());
  if (x.rank() != 3 || x.size(2) != features_)
    fail(ErrorKind::shape, "SelfAttention", "takes [N, T, ", features_, "], got ", x.shape());
  if (training()) in_weight_.show_input(x);
  const int64_t n = x.size(0), t = x.size(1), part = features_ / options_.heads;
  const Var all = reshape(linear(x, in_weight_, in_bias_), {n, t, 3, options_.heads, part});
  const Var by_head = permute(all, {2, 0, 3, 1, 4});  // [3, n, heads, t, part]
  const Var y = attention(select(by_head, 0, 0), select(by_head, 0, 1), select(by_head, 0, 2),
                          {.causal = options_.causal, .mask = {}});
  return out_(reshape(transpose(y, 1, 2), {n, t, features_}));
}

std::string SelfAttention::describe() const {
  return text("SelfAttention(", features_, ", heads ", options_.heads, options_.causal ? ", causal)" : ")");
}

int64_t SelfAttention::macs(const Shape& input, const Shape& output) const {
  const int64_t t = input[1], projections = 3 * features_, both_products = 2 * t;
  return numel(output) * (projections + both_products);
}

}  // namespace gradus
