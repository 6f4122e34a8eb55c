#include "tests/autograd/op_table.h"

#include "autograd/ops.h"

namespace gradus::testing {
namespace {

using Args = std::span<const Var>;

OpRow unary(const char* name, VarFunction f, Domain domain = {}) {
  return {name, std::move(f), {{2, 3, 2, 2}}, {{1, 1}}, {{0, 3, 2, 2}}, std::move(domain)};
}
OpRow binary(const char* name, VarFunction f, Domain domain = {}) {
  return {name,
          std::move(f),
          {{2, 3, 2, 2}, {2, 3, 2, 2}},
          {{1, 1}, {1, 1}},
          {{0, 3, 2, 2}, {0, 3, 2, 2}},
          std::move(domain)};
}
OpRow broadcast(const char* name, VarFunction f, Domain domain = {}) {
  return {name, std::move(f), {{2, 3, 2, 2}, {3, 1, 2}}, {{1, 1}, {}}, {{0, 3, 2, 2}, {3, 1, 1}}, std::move(domain)};
}

const Domain positive = {0.5, 2}, around_zero = {-1, 1, {0}};

void add_elementwise(std::vector<OpRow>& table) {
  table.insert(
      table.end(),
      {
          unary("neg", [](Args x) { return neg(x[0]); }),
          unary(
              "abs", [](Args x) { return abs(x[0]); }, around_zero),
          unary("exp", [](Args x) { return exp(x[0]); }),
          unary(
              "log", [](Args x) { return log(x[0]); }, positive),
          unary(
              "sqrt", [](Args x) { return sqrt(x[0]); }, positive),
          unary(
              "rsqrt", [](Args x) { return rsqrt(x[0]); }, positive),
          unary(
              "reciprocal", [](Args x) { return reciprocal(x[0]); }, positive),
          unary("square", [](Args x) { return square(x[0]); }),
          unary("sin", [](Args x) { return sin(x[0]); }, {-3, 3}),
          unary("cos", [](Args x) { return cos(x[0]); }, {-3, 3}),
          unary("erf", [](Args x) { return erf(x[0]); }, {-2, 2}),
          unary("tanh", [](Args x) { return tanh(x[0]); }, {-2, 2}),
          unary("sigmoid", [](Args x) { return sigmoid(x[0]); }, {-3, 3}),
          unary("softplus", [](Args x) { return softplus(x[0]); }, {-3, 3}),
          unary(
              "relu", [](Args x) { return relu(x[0]); }, around_zero),
          unary(
              "leaky_relu", [](Args x) { return leaky_relu(x[0], 0.2); }, around_zero),
          unary("gelu", [](Args x) { return gelu(x[0]); }, {-2, 2}),
          unary("silu", [](Args x) { return silu(x[0]); }, {-3, 3}),

          unary("operator- (of one operand)", [](Args x) { return -x[0]; }),
          binary("operator+", [](Args x) { return x[0] + x[1]; }),
          broadcast("operator+ (broadcast)", [](Args x) { return x[0] + x[1]; }),
          unary("operator+ (number)", [](Args x) { return x[0] + 2.0; }),
          unary("operator+ (number first)", [](Args x) { return 2.0 + x[0]; }),
          binary("operator-", [](Args x) { return x[0] - x[1]; }),
          broadcast("operator- (broadcast)", [](Args x) { return x[0] - x[1]; }),
          unary("operator- (number)", [](Args x) { return x[0] - 2.0; }),
          unary("operator- (number first)", [](Args x) { return 2.0 - x[0]; }),
          binary("operator*", [](Args x) { return x[0] * x[1]; }),
          broadcast("operator* (broadcast)", [](Args x) { return x[0] * x[1]; }),
          unary("operator* (by itself)", [](Args x) { return x[0] * x[0]; }),
          unary("operator* (number)", [](Args x) { return x[0] * 3.0; }),
          unary("operator* (number first)", [](Args x) { return 3.0 * x[0]; }),
          binary(
              "operator/", [](Args x) { return x[0] / x[1]; }, positive),
          broadcast(
              "operator/ (broadcast)", [](Args x) { return x[0] / x[1]; }, positive),
          unary("operator/ (number)", [](Args x) { return x[0] / 3.0; }),
          unary(
              "operator/ (number first)", [](Args x) { return 3.0 / x[0]; }, positive),
          unary(
              "pow (number)", [](Args x) { return pow(x[0], 2.5); }, positive),
          unary("pow (cube of either sign)", [](Args x) { return pow(x[0], 3); }),
          binary(
              "pow", [](Args x) { return pow(x[0], x[1]); }, positive),
          broadcast(
              "pow (broadcast)", [](Args x) { return pow(x[0], x[1]); }, positive),
          binary("maximum", [](Args x) { return maximum(x[0], x[1]); }),
          broadcast("maximum (broadcast)", [](Args x) { return maximum(x[0], x[1]); }),
          binary("minimum", [](Args x) { return minimum(x[0], x[1]); }),
          unary("maximum (number)", [](Args x) { return maximum(x[0], 0.3); }, {-1, 1, {0.3}}),
          unary("minimum (number)", [](Args x) { return minimum(x[0], -0.3); }, {-1, 1, {-0.3}}),
          unary("clamp", [](Args x) { return clamp(x[0], -0.4, 0.6); }, {-1, 1, {-0.4, 0.6}}),
          binary("where", [](Args x) { return where(greater(x[0].value(), 0.2), x[0], x[1]); }, {-1, 1, {0.2}}),
          unary("where (number)", [](Args x) { return where(greater(x[0].value(), 0.2), x[0], 0.2); }, {-1, 1, {0.2}}),
          unary("where (number first)", [](Args x) { return where(less(x[0].value(), 0.2), 0.2, x[0]); },
                {-1, 1, {0.2}}),
          broadcast("where (broadcast)",
                    [](Args x) { return where(Tensor::from<bool>({true}, {1}), x[0], x[1]) * x[0]; }),
      });
}

void add_views(std::vector<OpRow>& table) {
  table.insert(
      table.end(),
      {
          {"reshape",
           [](Args x) {
             return reshape(x[0], {x[0].size(0), -1, 2});
           },
           {{2, 3, 2, 2}},
           {{1, 2, 1}}},
          {"flatten", [](Args x) { return flatten(x[0], 1); }, {{2, 3, 2, 2}}, {{1, 1}}, {{0, 3, 2}}},
          {"transpose", [](Args x) { return transpose(x[0], 1, -1); }, {{2, 3, 2, 2}}, {{1, 1}}, {{0, 3, 2}}},
          {"permute",
           [](Args x) {
             return permute(x[0], {2, 0, -1, 1});
           },
           {{2, 3, 2, 2}},
           {{1, 1, 1, 1}},
           {{2, 0, 2, 3}}},
          {"slice", [](Args x) { return slice(x[0], 1, 1, 3); }, {{2, 4, 2, 2}}, {{1, 3}}, {{0, 3}}},
          {"slice (stepped)", [](Args x) { return slice(x[0], -1, 1, 6, 2); }, {{2, 7}}, {{1, 2}}, {{0, 7}}},
          {"slice (from the end)", [](Args x) { return slice(x[0], 0, -2, 100); }, {{4, 2}}, {{2, 1}}, {{3, 0}}},
          {"slice (to nothing)", [](Args x) { return slice(x[0], 0, 1, 1); }, {{4, 2}}, {{1, 1}}, {{3, 0}}},
          {"select", [](Args x) { return select(x[0], 1, 1); }, {{2, 3, 2, 2}}, {{1, 2}}, {{0, 2}}},
          {"select (from the end)", [](Args x) { return select(x[0], -1, -1); }, {{2, 3}}, {{1, 1}}, {{0, 2}}},
          {"squeeze", [](Args x) { return squeeze(x[0], 1); }, {{3, 1, 2}}, {{1, 1}}, {{0, 1}}},
          {"unsqueeze", [](Args x) { return unsqueeze(x[0], -1); }, {{3, 2}}, {{1}}, {{0, 2}}},
          {"expand",
           [](Args x) {
             return expand(x[0], {2, 3, 2, 4});
           },
           {{3, 1, 4}},
           {{1, 1, 1}}},
          {"concat",
           [](Args x) { return concat(x, 1); },
           {{2, 3, 2, 2}, {2, 1, 2, 2}, {2, 2, 2, 2}},
           {{1, 1}, {1, 1}},
           {{0, 2}, {0, 3}}},
          {"concat (with an empty part)",
           [](Args x) {
             return concat(std::vector<Var>{x[0], x[1]}, -1);
           },
           {{2, 3}, {2, 0}},
           {{1, 1}, {1, 0}}},
          {"stack",
           [](Args x) {
             return stack({x[0], x[1]}, 1);
           },
           {{2, 3, 2}, {2, 3, 2}},
           {{1}, {1}},
           {{0, 2}, {0, 2}}},
          {"pad",
           [](Args x) {
             return pad(x[0], {0, 1, 0, 2}, {0, 0, 1, 1}, 0.5);
           },
           {{2, 3, 2, 2}},
           {{1, 1, 1, 1}},
           {{0, 1, 2, 2}}},
          unary("contiguous", [](Args x) { return contiguous(x[0]); }),
          {"contiguous (channels-last)",
           [](Args x) { return contiguous(x[0], Layout::channels_last); },
           {{2, 3, 2, 2}},
           {{1, 1, 1, 1}},
           {{0, 3, 2, 2}}},
      });
}

void add_reductions(std::vector<OpRow>& table) {
  table.insert(
      table.end(),
      {
          unary("sum", [](Args x) { return sum(x[0]); }),
          unary("sum (kept)", [](Args x) { return sum(x[0], {}, true); }),
          {"sum (along)",
           [](Args x) {
             return sum(x[0], {0, -1});
           },
           {{2, 3, 2, 2}},
           {{1, 1}},
           {{0, 3, 2}}},
          {"sum (along, kept)", [](Args x) { return sum(x[0], {1}, true); }, {{2, 3, 2, 2}}, {{1, 1}}, {{0, 3}}},
          {"mean", [](Args x) { return mean(x[0]); }, {{2, 3, 2, 2}}, {{1}}},
          {"mean (along)",
           [](Args x) {
             return mean(x[0], {1, 2});
           },
           {{2, 3, 2, 2}},
           {{1, 1, 1}},
           {{0, 3, 2}}},
          {"mean (along, kept)", [](Args x) { return mean(x[0], {-1}, true); }, {{2, 3}}, {{1, 1}}, {{0, 3}}},
          {"max", [](Args x) { return max(x[0]); }, {{2, 3, 2, 2}}, {{1}}},
          {"max (along)",
           [](Args x) {
             return max(x[0], {1, 3});
           },
           {{2, 3, 2, 2}},
           {{1, 1, 1, 1}},
           {{0, 3, 1, 2}}},
          {"max (along, kept)", [](Args x) { return max(x[0], {0}, true); }, {{3, 4}}, {{1, 1}}, {{3, 0}}},
          {"min", [](Args x) { return min(x[0]); }, {{2, 3, 2, 2}}, {{1}}},
          {"min (along)", [](Args x) { return min(x[0], {-1}); }, {{2, 3, 2, 2}}, {{1, 1}}, {{0, 2}}},
          {"logsumexp", [](Args x) { return logsumexp(x[0]); }, {{2, 3, 2, 2}}, {{1}}},
          {"logsumexp (along)", [](Args x) { return logsumexp(x[0], {1}); }, {{3, 4}}, {{1, 1}}, {{0, 3}}},
          {"variance", [](Args x) { return variance(x[0], {0}); }, {{3, 4}}, {{1, 1}}, {{3, 0}}},
          {"sum_to",
           [](Args x) {
             return sum_to(x[0], {3, 1, 2});
           },
           {{2, 3, 2, 2}},
           {{1, 3, 1, 2}},
           {{0, 3, 2, 2}}},
      });
}

/// A fixed index of this shape with values in [0, extent), repeated values among them.
Tensor some_index(const Shape& shape, int64_t extent) {
  std::vector<int64_t> values;
  for (int64_t i = 0; i < numel(shape); ++i) values.push_back((i * 7 + i / 3) % extent);
  return Tensor::from(values, shape);
}

void add_indexing_and_products(std::vector<OpRow>& table) {
  table.insert(
      table.end(),
      {
          {"gather",
           [](Args x) {
             return gather(x[0], 0, some_index({4, x[0].size(1)}, x[0].size(0)));
           },
           {{3, 2}},
           {{1, 1}},
           {{3, 0}}},
          {"embedding",
           [](Args x) {
             return embedding(x[0], some_index({2, 3}, x[0].size(0)));
           },
           {{4, 3}},
           {{1, 1}},
           {{4, 0}}},
          {"index_select",
           [](Args x) { return index_select(x[0], 0, some_index({4}, x[0].size(0))); },
           {{3, 2}},
           {{1, 1}},
           {{3, 0}}},
          {"index_select (in the middle)",
           [](Args x) { return index_select(x[0], -2, some_index({2}, x[0].size(-2))); },
           {{2, 3, 4}},
           {{1, 1, 1}},
           {{0, 2, 2}}},
          {"gather (along the last)",
           [](Args x) {
             return gather(x[0], -1, some_index({x[0].size(0), x[0].size(1), 2}, x[0].size(2)));
           },
           {{2, 3, 4}},
           {{1, 1, 1}},
           {{0, 2, 2}}},
          {"scatter_add",
           [](Args x) { return scatter_add(x[0], 0, some_index(x[1].shape(), x[0].size(0)), x[1]); },
           {{3, 2}, {4, 2}},
           {{1, 1}, {1, 1}},
           {{3, 2}, {0, 2}}},
          {"matmul", [](Args x) { return matmul(x[0], x[1]); }, {{3, 4}, {4, 2}}, {{1, 1}, {1, 1}}, {{0, 3}, {3, 2}}},
          {"matmul (over nothing)", [](Args x) { return matmul(x[0], x[1]); }, {{2, 3}, {3, 1}}, {}, {{2, 0}, {0, 3}}},
          {"matmul (batched)",
           [](Args x) { return matmul(x[0], x[1]); },
           {{2, 3, 4}, {2, 4, 2}},
           {{1, 1, 1}, {1, 1, 1}},
           {{0, 2, 3}, {0, 3, 2}}},
          {"matmul (broadcast)",
           [](Args x) { return matmul(x[0], x[1]); },
           {{2, 1, 2, 3}, {3, 3, 2}},
           {{1, 1, 1}, {1, 1}},
           {{0, 2, 3}, {3, 2}}},
          {"matmul (transposed)",
           [](Args x) { return matmul(transpose(x[0], 0, 1), transpose(x[1], 0, 1)); },
           {{4, 3}, {2, 4}},
           {{1, 1}, {1, 1}},
           {{3, 0}, {2, 3}}},
          {"linear",
           [](Args x) { return linear(x[0], x[1], x[2]); },
           {{3, 4}, {2, 4}, {2}},
           {{1, 1}, {1, 1}, {1}},
           {{0, 4}, {2, 4}, {2}}},
          {"linear (no bias)", [](Args x) { return linear(x[0], x[1]); }, {{3, 4}, {2, 4}}, {{1, 1}, {1, 1}}},
          {"linear (more dimensions)",
           [](Args x) { return linear(x[0], x[1], x[2]); },
           {{2, 3, 4}, {2, 4}, {2}},
           {{1, 1, 1}, {1, 1}, {1}},
           {{2, 0, 4}, {2, 4}, {2}}},
          {"linear (one vector)",
           [](Args x) { return linear(x[0], x[1], x[2]); },
           {{4}, {2, 4}, {2}},
           {{1}, {1, 1}, {1}}},
      });
}

void add_convolutions(std::vector<OpRow>& table) {
  // Channels with positive inputs only and channels with their negatives: no result comes near the kink of the relu.
  const auto fused_relu = [](Args x) {
    std::vector<double> signs;
    for (int64_t i = 0; i < x[1].size(0); ++i) signs.push_back(i % 2 == 0 ? 1 : -1);
    const Tensor sign = cast(Tensor::from(signs, {x[1].size(0)}), x[1].dtype());
    return conv2d(x[0], x[1] * reshape(sign, {x[1].size(0), 1, 1, 1}), x[2] * sign, {.padding = {1, 1, 1, 1}}, true);
  };
  table.insert(
      table.end(),
      {
          {"conv2d",
           [](Args x) { return conv2d(x[0], x[1], x[2]); },
           {{2, 2, 4, 4}, {3, 2, 3, 3}, {3}},
           {{1, 1, 1, 1}, {1, 1, 1, 1}, {1}},
           {{0, 2, 4, 4}, {3, 2, 3, 3}, {3}}},
          {"conv2d (no bias, 1x1)",
           [](Args x) { return conv2d(x[0], x[1]); },
           {{2, 3, 2, 2}, {2, 3, 1, 1}},
           {{1, 1, 1, 1}, {1, 1, 1, 1}}},
          {"conv2d (stride, asymmetric padding)",
           [](Args x) {
             return conv2d(x[0], x[1], x[2], {.stride = {2, 2}, .padding = {0, 0, 1, 1}});
           },
           {{1, 2, 4, 5}, {2, 2, 3, 3}, {2}},
           {{1, 1, 2, 2}, {1, 1, 1, 1}, {1}}},
          {"conv2d (dilation)",
           [](Args x) {
             return conv2d(x[0], x[1], {}, {.padding = {1, 2, 1, 2}, .dilation = {1, 2}});
           },
           {{1, 2, 3, 3}, {2, 2, 3, 3}},
           {{1, 1, 1, 1}, {1, 1, 1, 1}}},
          {"conv2d (groups)",
           [](Args x) {
             return conv2d(x[0], x[1], x[2], {.padding = {1, 1, 1, 1}, .groups = 2});
           },
           {{1, 4, 3, 3}, {4, 2, 2, 2}, {4}},
           {{1, 2, 1, 1}, {2, 1, 1, 1}, {2}}},
          {"conv2d (depthwise)",
           [](Args x) { return conv2d(x[0], x[1], {}, {.groups = 3}); },
           {{2, 3, 3, 3}, {3, 1, 2, 2}},
           {{1, 3, 1, 1}, {3, 1, 1, 1}}},
          {"conv2d (rows left over)",
           [](Args x) {
             return conv2d(x[0], x[1], {}, {.stride = {2, 3}});
           },
           {{1, 1, 6, 6}, {2, 1, 3, 2}},
           {{1, 1, 1, 1}, {1, 1, 1, 1}}},
          {"conv2d (relu)",
           fused_relu,
           {{1, 2, 3, 3}, {2, 2, 3, 3}, {2}},
           {{1, 1, 1, 1}, {1, 1, 1, 1}, {1}},
           {{0, 2, 3, 3}, {2, 2, 3, 3}, {2}},
           {0.1, 1}},
          {"conv_transpose2d",
           [](Args x) { return conv_transpose2d(x[0], x[1], x[2]); },
           {{2, 2, 3, 3}, {2, 3, 2, 3}, {3}},
           {{1, 1, 1, 1}, {1, 1, 1, 1}, {1}},
           {{0, 2, 3, 3}, {2, 3, 2, 3}, {3}}},
          {"conv_transpose2d (stride, asymmetric padding, output padding)",
           [](Args x) {
             return conv_transpose2d(x[0], x[1], x[2],
                                     {.stride = {2, 3}, .padding = {1, 0, 0, 2}, .output_padding = {1, 2}});
           },
           {{1, 2, 2, 3}, {2, 2, 3, 2}, {2}},
           {{1, 1, 1, 1}, {1, 1, 1, 1}, {1}}},
          {"conv_transpose2d (dilation, groups, no bias)",
           [](Args x) {
             return conv_transpose2d(x[0], x[1], {}, {.padding = {1, 1, 1, 1}, .dilation = {2, 1}, .groups = 2});
           },
           {{1, 4, 2, 3}, {4, 1, 2, 3}},
           {{1, 2, 2, 1}, {2, 1, 2, 3}}},
          {"max_pool2d", [](Args x) { return max_pool2d(x[0], {}); }, {{2, 2, 4, 5}}, {{1, 1, 2, 2}}, {{0, 2, 4, 4}}},
          {"max_pool2d (overlapping, padded)",
           [](Args x) {
             return max_pool2d(x[0], {.kernel = {3, 3}, .stride = {2, 1}, .padding = {1, 1, 1, 1}});
           },
           {{1, 2, 5, 4}},
           {{1, 1, 1, 1}}},
          {"avg_pool2d", [](Args x) { return avg_pool2d(x[0], {}); }, {{2, 2, 4, 5}}, {{1, 1, 2, 2}}, {{0, 2, 4, 4}}},
          {"avg_pool2d (padded)",
           [](Args x) {
             return avg_pool2d(x[0], {.kernel = {3, 3}, .stride = {2, 1}, .padding = {1, 1, 1, 1}});
           },
           {{1, 2, 5, 4}},
           {{1, 1, 1, 1}}},
          {"avg_pool2d (padding not counted)",
           [](Args x) {
             return avg_pool2d(x[0],
                               {.kernel = {3, 3}, .stride = {2, 1}, .padding = {1, 1, 1, 1}, .count_padding = false});
           },
           {{1, 2, 5, 4}},
           {{1, 1, 1, 1}}},
          {"global_avg_pool2d",
           [](Args x) { return global_avg_pool2d(x[0]); },
           {{2, 3, 2, 2}},
           {{1, 1, 1, 1}},
           {{0, 3, 2, 2}}},
          {"upsample_nearest2d",
           [](Args x) { return upsample_nearest2d(x[0], 3); },
           {{2, 3, 2, 4}},
           {{1, 1, 1, 1}},
           {{0, 3, 2, 2}}},
      });
}

void add_normalizations(std::vector<OpRow>& table) {
  const auto fixed_statistics = [](Args x) {
    const int64_t channels = x[1].size(0);
    const Tensor index = cast(Tensor::arange(channels), x[1].dtype());
    return batch_norm_apply(x[0], x[1], x[2], index * 0.3 - 0.2, index * 0.5 + 0.4, 0.1);
  };
  const auto groups_of_two = [](Args x) { return group_norm(x[0], x[0].size(1) / 2, x[1], x[2], 0.1); };
  table.insert(
      table.end(),
      {
          {"batch_norm",
           [](Args x) { return batch_norm(x[0], x[1], x[2], 0.1); },
           {{2, 3, 2, 2}, {3}, {3}},
           {{1, 1, 1, 1}, {1}, {1}}},
          {"batch_norm (no weight)",
           [](Args x) { return batch_norm(x[0], {}, {}, 0.1); },
           {{2, 3, 2, 2}},
           {{1, 1, 1, 1}}},
          {"batch_norm (of vectors)",
           [](Args x) { return batch_norm(x[0], x[1], x[2], 0.1); },
           {{4, 3}, {3}, {3}},
           {{1, 1}, {1}, {1}}},
          {"batch_norm_apply",
           fixed_statistics,
           {{2, 3, 2, 2}, {3}, {3}},
           {{1, 1, 1, 1}, {1}, {1}},
           {{0, 3, 2, 2}, {3}, {3}}},
          {"layer_norm",
           [](Args x) { return layer_norm(x[0], {x[0].size(-1)}, x[1], x[2], 0.1); },
           {{3, 4}, {4}, {4}},
           {{1, 1}, {1}, {1}},
           {{0, 4}, {4}, {4}}},
          {"layer_norm (two dimensions)",
           [](Args x) { return layer_norm(x[0], x[1].shape(), x[1], x[2], 0.1); },
           {{2, 2, 2, 3}, {2, 3}, {2, 3}},
           {{1, 1, 1, 1}, {1, 1}, {1, 1}}},
          {"layer_norm (no weight)",
           [](Args x) { return layer_norm(x[0], {x[0].size(-1)}, {}, {}, 0.1); },
           {{2, 3, 3}},
           {{1, 1, 1}}},
          {"group_norm", groups_of_two, {{2, 4, 2, 2}, {4}, {4}}, {{1, 2, 1, 1}, {2}, {2}}, {{0, 4, 2, 2}, {4}, {4}}},
          {"group_norm (no weight)", [](Args x) { return group_norm(x[0], 1, {}, {}, 0.1); }, {{2, 3, 3}}, {{1, 1, 1}}},
      });
}

void add_losses(std::vector<OpRow>& table) {
  const auto entropy = [](CrossEntropyOptions options) {
    return [options](Args x) { return cross_entropy(x[0], some_index({x[0].size(0)}, x[0].size(1)), options); };
  };
  const auto of_probabilities = [](const CrossEntropyOptions& options) {
    return [options](Args x) {
      const Tensor target = softmax(random_normal(x[0].shape(), 0, 1, {.seed = 3}, DType::float64), 1);
      return cross_entropy(x[0], target, options);
    };
  };
  const auto squares = [](Reduction reduction) {
    return [reduction](Args x) { return mse_loss(x[0], x[1], reduction); };
  };
  // The targets are so small that no difference comes near the points at +-delta, where the curvature jumps.
  const Domain around_delta = {-1, 1, {-0.7, 0.7}};
  const auto huber = [](Reduction reduction) {
    return [reduction](Args x) { return huber_loss(x[0], x[1] * 0.01, 0.7, reduction); };
  };
  const auto densities = [](Reduction reduction) {
    return [reduction](Args x) { return gaussian_nll_loss(x[0], x[1], x[2], reduction); };
  };
  // One number per row of a policy: old log-probabilities, and advantages 1, -2, 1, ...
  const auto full_like_rows = [](const Var& x, double value) { return Tensor::full({x.size(0)}, value, x.dtype()); };
  const auto alternating_rows = [](const Var& x) {
    std::vector<double> values;
    for (int64_t i = 0; i < x.size(0); ++i) values.push_back(i % 2 == 0 ? 1 : -2);
    return cast(Tensor::from(values, {x.size(0)}), x.dtype());
  };
  table.insert(
      table.end(),
      {
          {"softmax", [](Args x) { return softmax(x[0], 1); }, {{2, 3, 2, 2}}, {{1, 1}}, {{0, 3}}, {-2, 2}},
          {"softmax (along the last)", [](Args x) { return softmax(x[0], -1); }, {{3, 4}}, {{1, 1}}, {{0, 3}}, {-2, 2}},
          {"log_softmax", [](Args x) { return log_softmax(x[0], 1); }, {{2, 3, 2, 2}}, {{1, 1}}, {{0, 3}}, {-2, 2}},
          {"attention",
           [](Args x) { return attention(x[0], x[1], x[2]); },
           {{2, 3, 2}, {2, 4, 2}, {2, 4, 3}},
           {{1, 1}, {1, 1}, {1, 1}},
           {{0, 3, 2}, {0, 4, 2}, {0, 4, 3}}},
          {"attention (causal)",
           [](Args x) { return attention(x[0], x[1], x[2], {.causal = true}); },
           {{2, 3, 2}, {2, 3, 2}, {2, 3, 2}},
           {{1, 1}, {1, 1}, {1, 1}},
           {{0, 3, 2}, {0, 3, 2}, {0, 3, 2}}},
          {"log_softmax (along the first)", [](Args x) { return log_softmax(x[0], 0); }, {{3, 4}}, {{1, 1}}, {{3, 0}}},
          unary("dropout", [](Args x) { return dropout(x[0], 0.3, {.seed = 5}); }),
          {"cross_entropy", entropy({}), {{4, 3}}, {{1, 1}}, {}, {-2, 2}},
          {"cross_entropy (smoothed)", entropy({.label_smoothing = 0.1}), {{4, 3}}, {{1, 1}}, {}, {-2, 2}},
          {"cross_entropy (sum)", entropy({.reduction = Reduction::sum}), {{4, 3}}, {{1, 1}}, {{0, 3}}, {-2, 2}},
          {"cross_entropy (of pixels)",
           [](Args x) {
             return cross_entropy(x[0], some_index({x[0].size(0), x[0].size(2), x[0].size(3)}, x[0].size(1)),
                                  {.label_smoothing = 0.1, .ignore = 1});
           },
           {{2, 3, 2, 2}},
           {{1, 1, 1, 1}},
           {},
           {-2, 2}},
          {"cross_entropy (by class)",
           [](Args x) {
             const int64_t classes = x[0].size(1);
             const Tensor weights = cast(Tensor::arange(classes), x[0].dtype()) * 0.5 + 0.25;
             return cross_entropy(x[0], some_index({x[0].size(0)}, classes), {.class_weights = weights});
           },
           {{4, 3}},
           {{1, 1}},
           {},
           {-2, 2}},
          {"cross_entropy (of probabilities)",
           of_probabilities({.label_smoothing = 0.1}),
           {{4, 3}},
           {{1, 1}},
           {},
           {-2, 2}},
          {"cross_entropy (none, of probabilities of pixels)",
           of_probabilities({.reduction = Reduction::none}),
           {{2, 3, 2, 2}},
           {{1, 1, 1, 1}},
           {{0, 3, 2, 2}},
           {-2, 2}},
          {"cross_entropy (none, of positions)",
           [](Args x) {
             return cross_entropy(x[0], some_index({x[0].size(0), x[0].size(2)}, x[0].size(1)),
                                  {.reduction = Reduction::none});
           },
           {{2, 3, 4}},
           {{1, 1, 1}},
           {{0, 3, 4}},
           {-2, 2}},
          {"cross_entropy (none, smoothed)",
           entropy({.label_smoothing = 0.2, .reduction = Reduction::none}),
           {{4, 3}},
           {{1, 1}},
           {{0, 3}},
           {-2, 2}},
          {"mse_loss", squares(Reduction::mean), {{2, 3}, {2, 3}}, {{1, 1}, {1, 1}}},
          binary("mse_loss (sum)", squares(Reduction::sum)),
          binary("mse_loss (none)", squares(Reduction::none)),
          {"l1_loss", [](Args x) { return l1_loss(x[0], x[1]); }, {{2, 3}, {2, 3}}, {{1, 1}, {1, 1}}},
          binary("l1_loss (none)", [](Args x) { return l1_loss(x[0], x[1], Reduction::none); }),
          {"huber_loss", huber(Reduction::mean), {{2, 3}, {2, 3}}, {{1, 1}, {1, 1}}, {}, around_delta},
          binary("huber_loss (sum)", huber(Reduction::sum), around_delta),
          {"binary_cross_entropy_with_logits",
           [](Args x) { return binary_cross_entropy_with_logits(x[0], x[1]); },
           {{2, 3}, {2, 3}},
           {{1, 1}, {1, 1}}},
          binary("binary_cross_entropy_with_logits (none)",
                 [](Args x) { return binary_cross_entropy_with_logits(x[0], x[1], Reduction::none); }),
          {"gaussian_nll_loss", densities(Reduction::mean), {{2, 3}, {2, 3}, {2, 3}}, {{1}, {1}, {1}}, {}, positive},
          {"gaussian_nll_loss (none)",
           densities(Reduction::none),
           {{2, 3}, {2, 3}, {2, 3}},
           {{1}, {1}, {1}},
           {{0}, {0}, {0}},
           positive},
          {"ppo_loss",
           [=](Args x) {
             const Tensor actions = some_index({x[0].size(0)}, x[0].size(1));
             return ppo_loss(x[0], actions, full_like_rows(x[0], -1), alternating_rows(x[0]));
           },
           {{6, 3}},
           {{1, 1}},
           {},
           {-2, 2}},
          {"gaussian_ppo_loss",
           [=](Args x) {
             const Tensor actions = Tensor::full(x[0].shape(), 1.1, x[0].dtype());
             return gaussian_ppo_loss(x[0], x[1], actions, full_like_rows(x[0], -2.2), alternating_rows(x[0]));
           },
           {{6, 2}, {6, 2}},
           {{1, 1}, {1, 1}},
           {},
           positive},
      });
}

}  // namespace

const std::vector<OpRow>& op_table() {
  static const std::vector<OpRow> table = [] {
    std::vector<OpRow> rows;
    add_elementwise(rows);
    add_views(rows);
    add_reductions(rows);
    add_indexing_and_products(rows);
    add_convolutions(rows);
    add_normalizations(rows);
    add_losses(rows);
    return rows;
  }();
  return table;
}

}  // namespace gradus::testing
