// The table of forms. A form that is one node of the same inputs stands there by its name; the others are functions.
#include "models/onnx/forms.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <numbers>
#include <string_view>

#include "core/error.h"

namespace gradus::onnx {
namespace {

using T = Translation;
using Form = std::string (*)(T& t);

/// One node whose inputs are the operation's. An operand that is a number stands where its attribute says.
template <const char* type>
std::string same_inputs(T& t) {
  std::vector<std::string> inputs;
  if (t.has("first")) inputs.push_back(t.number(t.get<double>("first")));
  for (size_t i = 0; i < t.inputs(); ++i) inputs.push_back(t.input(i));
  if (t.has("second")) inputs.push_back(t.number(t.get<double>("second")));
  return t.graph().node(type, inputs);
}

std::string same_value(T& t) { return t.input(0); }

std::string square(T& t) { return t.graph().node("Mul", {t.input(0), t.input(0)}); }

std::string rsqrt(T& t) { return t.graph().node("Reciprocal", {t.graph().node("Sqrt", {t.input(0)})}); }

std::string leaky_relu(T& t) {
  return t.graph().node("LeakyRelu", {t.input(0)}, {{"alpha", static_cast<float>(t.get<double>("slope"))}});
}

std::string silu(T& t) { return t.graph().node("Mul", {t.input(0), t.graph().node("Sigmoid", {t.input(0)})}); }

// x (1 + erf(x / sqrt 2)) / 2; ONNX has Gelu from opset 20 on only.
std::string gelu(T& t) {
  Graph& g = t.graph();
  const std::string scaled = g.node("Mul", {t.input(0), t.number(1 / std::numbers::sqrt2)});
  const std::string twice = g.node("Add", {g.node("Erf", {scaled}), t.number(1)});
  return g.node("Mul", {g.node("Mul", {t.input(0), twice}), t.number(0.5)});
}

std::string clamp(T& t) {
  return t.graph().node("Clip", {t.input(0), t.number(t.get<double>("low")), t.number(t.get<double>("high"))});
}

std::string where(T& t) { return t.graph().node("Where", {t.tensor("condition"), t.input(0), t.input(1)}); }

// ---- Views and copies ----------------------------------------------------------------------------------------------

std::string reshape(T& t) {
  const Shape& shape = t.output_shape();
  if (std::count(shape.begin(), shape.end(), -1) > 1)
    fail(ErrorKind::value, "export_onnx", "the operation '", t.operation(),
         "' makes two extents that depend on the batch size; one is possible");
  return t.graph().node("Reshape", {t.input(0), t.integers({shape.begin(), shape.end()})});
}

// An extent of 1 leaves that of the input as it is; one that becomes the batch size is read from the model's input.
std::string expand(T& t) {
  const Shape &from = t.input_shape(0), &to = t.output_shape();
  const int added = to.rank() - from.rank();
  std::vector<std::string> extents;
  for (int d = 0; d < to.rank(); ++d) {
    const bool stays = d >= added && from[d - added] == to[d];
    if (!stays && to[d] < 0 && !t.output_is_batch(d))
      fail(ErrorKind::value, "export_onnx",
           "an expand makes an extent that depends on the batch size but is not the batch size; one that is, is "
           "possible");
    extents.push_back(stays ? t.integers({1}) : to[d] < 0 ? t.batch() : t.integers({to[d]}));
  }
  if (extents.empty()) return t.input(0);
  return t.graph().node("Expand", {t.input(0), t.graph().node("Concat", extents, {{"axis", int64_t{0}}})});
}

std::string transpose(T& t) {
  std::vector<int64_t> order = t.ints("order");
  for (int64_t& d : order) d = d < 0 ? d + static_cast<int64_t>(order.size()) : d;
  return t.graph().node("Transpose", {t.input(0)}, {{"perm", order}});
}

std::string slice(T& t) {
  const auto one = [&](const char* name) { return t.integers({t.get<int64_t>(name)}); };
  return t.graph().node("Slice", {t.input(0), one("begin"), one("end"), one("dim"), one("step")});
}

std::string select(T& t) {
  const std::string position =
      t.graph().constant(Tensor::full({}, static_cast<double>(t.get<int64_t>("position")), DType::int64));
  return t.graph().node("Gather", {t.input(0), position}, {{"axis", t.get<int64_t>("dim")}});
}

std::string concat(T& t) {
  std::vector<std::string> parts;
  for (size_t i = 0; i < t.inputs(); ++i) parts.push_back(t.input(i));
  return t.graph().node("Concat", parts, {{"axis", t.get<int64_t>("dim")}});
}

std::string stack(T& t) {
  const int64_t dim = t.get<int64_t>("dim");
  const std::string axes = t.integers({dim});
  std::vector<std::string> parts;
  for (size_t i = 0; i < t.inputs(); ++i) parts.push_back(t.graph().node("Unsqueeze", {t.input(i), axes}));
  return t.graph().node("Concat", parts, {{"axis", dim}});
}

std::string pad(T& t) {
  std::vector<int64_t> pads = t.ints("before"), after = t.ints("after");
  pads.insert(pads.end(), after.begin(), after.end());
  return t.graph().node("Pad", {t.input(0), t.integers(pads), t.number(t.get<double>("value"))});
}

std::string cast(T& t) { return t.graph().node("Cast", {t.input(0)}, {{"to", data_type(t.dtype())}}); }

// ---- Reductions, matrices ------------------------------------------------------------------------------------------

template <const char* type>
std::string reduce(T& t) {
  std::vector<NodeAttribute> attributes = {{"keepdims", t.get<int64_t>("keep_dims")}};
  if (!t.get<Dims>("dims").empty()) attributes.push_back({"axes", t.ints("dims")});
  return t.graph().node(type, {t.input(0)}, attributes);
}

// Of the reductions of opset 17 this one alone takes its axes as an input.
std::string reduce_sum(T& t) {
  const std::string axes = t.get<Dims>("dims").empty() ? "" : t.integers(t.ints("dims"));
  return t.graph().node("ReduceSum", {t.input(0), axes}, {{"keepdims", t.get<int64_t>("keep_dims")}});
}

// Extents that become 1 are kept, and those before them go.
std::string sum_to(T& t) {
  const Shape &from = t.input_shape(0), &to = t.output_shape();
  const int gone = from.rank() - to.rank();
  std::vector<int64_t> kept, dropped;
  for (int d = 0; d < from.rank(); ++d)
    if (d < gone)
      dropped.push_back(d);
    else if (from[d] != to[d - gone])
      kept.push_back(d);
  std::string y = t.input(0);
  if (!kept.empty()) y = t.graph().node("ReduceSum", {y, t.integers(kept)}, {{"keepdims", int64_t{1}}});
  if (!dropped.empty()) y = t.graph().node("ReduceSum", {y, t.integers(dropped)}, {{"keepdims", int64_t{0}}});
  return y;
}

// A constant, or the model's input.
std::string index(T& t) { return t.has("index") ? t.tensor("index") : t.input(t.inputs() - 1); }

std::string gather(T& t) {
  return t.graph().node("GatherElements", {t.input(0), index(t)}, {{"axis", t.get<int64_t>("dim")}});
}

std::string index_select(T& t) {
  return t.graph().node("Gather", {t.input(0), index(t)}, {{"axis", t.get<int64_t>("dim")}});
}

std::string scatter_add(T& t) {
  return t.graph().node("ScatterElements", {t.input(0), index(t), t.input(1)},
                        {{"axis", t.get<int64_t>("dim")}, {"reduction", "add"}});
}

std::string embedding(T& t) { return t.graph().node("Gather", {t.input(0), index(t)}, {{"axis", int64_t{0}}}); }

std::string linear(T& t) {
  Graph& g = t.graph();
  if (t.input_shape(0).rank() == 2)
    return g.node("Gemm", {t.input(0), t.input(1), t.input(2)}, {{"transB", int64_t{1}}});
  const std::string weight = g.node("Transpose", {t.input(1)}, {{"perm", std::vector<int64_t>{1, 0}}});
  const std::string product = g.node("MatMul", {t.input(0), weight});
  return t.input(2).empty() ? product : g.node("Add", {product, t.input(2)});
}

template <const char* type>
std::string along_axis(T& t) {
  return t.graph().node(type, {t.input(0)}, {{"axis", t.get<int64_t>("dim")}});
}

// ---- Convolution, pooling, normalization ---------------------------------------------------------------------------

std::string conv2d(T& t) {
  const std::string y = t.graph().node("Conv", {t.input(0), t.input(1), t.input(2)},
                                       {{"strides", t.ints("stride")},
                                        {"pads", t.ints("padding")},
                                        {"dilations", t.ints("dilation")},
                                        {"group", t.get<int64_t>("groups")}});
  return t.get<int64_t>("relu") != 0 ? t.graph().node("Relu", {y}) : y;
}

std::vector<NodeAttribute> window(const T& t) {
  return {{"kernel_shape", t.ints("kernel")}, {"strides", t.ints("stride")}, {"pads", t.ints("padding")}};
}

std::string conv_transpose2d(T& t) {
  return t.graph().node("ConvTranspose", {t.input(0), t.input(1), t.input(2)},
                        {{"strides", t.ints("stride")},
                         {"pads", t.ints("padding")},
                         {"output_padding", t.ints("output_padding")},
                         {"dilations", t.ints("dilation")},
                         {"group", t.get<int64_t>("groups")}});
}

std::string max_pool2d(T& t) { return t.graph().node("MaxPool", {t.input(0)}, window(t)); }

std::string avg_pool2d(T& t) {
  std::vector<NodeAttribute> attributes = window(t);
  attributes.push_back({"count_include_pad", t.get<int64_t>("count_padding")});
  return t.graph().node("AveragePool", {t.input(0)}, attributes);
}

std::string upsample_nearest2d(T& t) {
  const auto factor = static_cast<float>(t.get<int64_t>("factor"));
  const std::string scales = t.graph().constant(Tensor::from<float>({1, 1, factor, factor}, {4}));
  return t.graph().node(
      "Resize", {t.input(0), "", scales},
      {{"mode", "nearest"}, {"coordinate_transformation_mode", "asymmetric"}, {"nearest_mode", "floor"}});
}

std::string given_or(T& t, size_t input, double value, int64_t extent) {
  return t.input(input).empty() ? t.graph().constant(Tensor::full({extent}, value, t.dtype())) : t.input(input);
}

std::string batch_norm_apply(T& t) {
  const int64_t channels = t.input_shape(0)[1];
  return t.graph().node(
      "BatchNormalization",
      {t.input(0), given_or(t, 1, 1, channels), given_or(t, 2, 0, channels), t.tensor("mean"), t.tensor("variance")},
      {{"epsilon", static_cast<float>(t.get<double>("eps"))}});
}

// Of rows: [rows, columns].
std::string layer_norm(T& t) {
  const int64_t columns = t.input_shape(0)[1];
  return t.graph().node("LayerNormalization", {t.input(0), given_or(t, 1, 1, columns), t.input(2)},
                        {{"axis", int64_t{-1}}, {"epsilon", static_cast<float>(t.get<double>("eps"))}});
}

// Groups are the instances of an InstanceNormalization; weight and bias, which belong to channels, come after it.
std::string group_norm(T& t) {
  Graph& g = t.graph();
  const Shape& shape = t.output_shape();
  const int64_t groups = t.get<int64_t>("groups");
  std::string y = g.node("Reshape", {t.input(0), t.integers({0, groups, -1})});
  y = g.node("InstanceNormalization",
             {y, g.constant(Tensor::full({groups}, 1, t.dtype())), g.constant(Tensor::full({groups}, 0, t.dtype()))},
             {{"epsilon", static_cast<float>(t.get<double>("eps"))}});
  std::vector<int64_t> extents(shape.begin(), shape.end()), channels(extents.size() - 1, 1);
  extents[0] = 0;
  channels[0] = shape[1];
  y = g.node("Reshape", {y, t.integers(extents)});
  const auto per_channel = [&](size_t input) { return g.node("Reshape", {t.input(input), t.integers(channels)}); };
  if (!t.input(1).empty()) y = g.node("Mul", {y, per_channel(1)});
  if (!t.input(2).empty()) y = g.node("Add", {y, per_channel(2)});
  return y;
}

// A template argument must have a name.
#define GRADUS_NODE(form, type)     \
  constexpr char type##_[] = #type; \
  constexpr Form type = form<type##_>;
GRADUS_NODE(same_inputs, Neg)
GRADUS_NODE(same_inputs, Abs)
GRADUS_NODE(same_inputs, Exp)
GRADUS_NODE(same_inputs, Log)
GRADUS_NODE(same_inputs, Sqrt)
GRADUS_NODE(same_inputs, Reciprocal)
GRADUS_NODE(same_inputs, Sin)
GRADUS_NODE(same_inputs, Cos)
GRADUS_NODE(same_inputs, Erf)
GRADUS_NODE(same_inputs, Tanh)
GRADUS_NODE(same_inputs, Sigmoid)
GRADUS_NODE(same_inputs, Softplus)
GRADUS_NODE(same_inputs, Relu)
GRADUS_NODE(same_inputs, Add)
GRADUS_NODE(same_inputs, Sub)
GRADUS_NODE(same_inputs, Mul)
GRADUS_NODE(same_inputs, Div)
GRADUS_NODE(same_inputs, Pow)
GRADUS_NODE(same_inputs, Max)
GRADUS_NODE(same_inputs, Min)
GRADUS_NODE(same_inputs, MatMul)
GRADUS_NODE(reduce, ReduceMean)
GRADUS_NODE(reduce, ReduceMax)
GRADUS_NODE(reduce, ReduceLogSumExp)
GRADUS_NODE(reduce, ReduceMin)
GRADUS_NODE(along_axis, Softmax)
GRADUS_NODE(along_axis, LogSoftmax)
#undef GRADUS_NODE

const std::map<std::string_view, Form> forms = {
    {"neg", Neg},
    {"abs", Abs},
    {"exp", Exp},
    {"log", Log},
    {"sqrt", Sqrt},
    {"rsqrt", rsqrt},
    {"reciprocal", Reciprocal},
    {"square", square},
    {"sin", Sin},
    {"cos", Cos},
    {"erf", Erf},
    {"tanh", Tanh},
    {"sigmoid", Sigmoid},
    {"softplus", Softplus},
    {"relu", Relu},
    {"leaky_relu", leaky_relu},
    {"gelu", gelu},
    {"silu", silu},
    {"add", Add},
    {"sub", Sub},
    {"mul", Mul},
    {"div", Div},
    {"pow", Pow},
    {"maximum", Max},
    {"minimum", Min},
    {"clamp", clamp},
    {"where", where},
    {"reshape", reshape},
    {"flatten", reshape},
    {"squeeze", reshape},
    {"unsqueeze", reshape},
    {"transpose", transpose},
    {"permute", transpose},
    {"slice", slice},
    {"select", select},
    {"expand", expand},
    {"concat", concat},
    {"stack", stack},
    {"pad", pad},
    {"contiguous", same_value},
    {"cast", cast},
    {"sum", reduce_sum},
    {"mean", ReduceMean},
    {"max", ReduceMax},
    {"logsumexp", ReduceLogSumExp},
    {"min", ReduceMin},
    {"sum_to", sum_to},
    {"gather", gather},
    {"index_select", index_select},
    {"scatter_add", scatter_add},
    {"embedding", embedding},
    {"matmul", MatMul},
    {"linear", linear},
    {"softmax", Softmax},
    {"log_softmax", LogSoftmax},
    {"conv2d", conv2d},
    {"conv_transpose2d", conv_transpose2d},
    {"max_pool2d", max_pool2d},
    {"avg_pool2d", avg_pool2d},
    {"upsample_nearest2d", upsample_nearest2d},
    {"batch_norm_apply", batch_norm_apply},
    {"layer_norm", layer_norm},
    {"group_norm", group_norm},
};

}  // namespace

std::string Translation::integers(const std::vector<int64_t>& values) {
  return graph_.constant(Tensor::from(values, {static_cast<int64_t>(values.size())}));
}

const Attribute* Translation::find(const char* name) const {
  for (const Attribute& attribute : operation_.attributes)
    if (std::strcmp(attribute.name, name) == 0) return &attribute;
  return nullptr;
}

std::string Translation::translate() {
  const auto form = forms.find(operation_.name);
  if (form == forms.end())
    fail(ErrorKind::value, "export_onnx", "the operation '", operation_.name,
         "' has no ONNX form here; leave it out of the exported model's forward");
  return form->second(*this);
}

}  // namespace gradus::onnx
