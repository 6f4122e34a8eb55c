#include "core/cuda/conv_graph.h"

#include <algorithm>

#include "core/cuda/context.h"
#include "core/error.h"

namespace gradus::cuda {

Descriptor::Descriptor(cudnnBackendDescriptorType_t type) {
  check(cudnnBackendCreateDescriptor(type, &raw_), "convolution");
  owner_.reset(raw_);
}

void Descriptor::set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t count,
                     const void* values) {
  check(cudnnBackendSetAttribute(raw_, name, type, count, values), "convolution");
}

bool Descriptor::try_set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t count,
                         const void* values) {
  return cudnnBackendSetAttribute(raw_, name, type, count, values) == CUDNN_STATUS_SUCCESS;
}

int64_t Descriptor::get(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t room,
                        void* values) const {
  int64_t count = 0;
  check(cudnnBackendGetAttribute(raw_, name, type, room, &count, values), "convolution");
  return count;
}

void Descriptor::finalize() { check(cudnnBackendFinalize(raw_), "convolution"); }
bool Descriptor::try_finalize() { return cudnnBackendFinalize(raw_) == CUDNN_STATUS_SUCCESS; }

Target::Target(const std::string& properties)
    : properties_(std::make_unique<Descriptor>(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR)) {
  properties_->set(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, static_cast<int64_t>(properties.size()),
                   properties.data());
  properties_->finalize();
}

void Target::set(Descriptor& descriptor, cudnnBackendAttributeName_t handle,
                 cudnnBackendAttributeName_t properties) const {
  if (properties_)
    descriptor.set(properties, *properties_);
  else
    descriptor.set(handle, CUDNN_TYPE_HANDLE, 1, &handle_);
}

// ---- Graphs ---------------------------------------------------------------------------------------------------------

namespace {

cudnnDataType_t data_type(DType dtype) { return dtype == DType::bfloat16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT; }

constexpr cudnnDataType_t arithmetic = CUDNN_DATA_FLOAT;

}  // namespace

Descriptor& ConvGraph::tensor(int64_t id, const Shape& shape, DType dtype, bool is_virtual) {
  Descriptor& made = *parts_.emplace_back(std::make_unique<Descriptor>(CUDNN_BACKEND_TENSOR_DESCRIPTOR));
  const cudnnDataType_t type = data_type(dtype);
  const Strides strides = channels_last_strides(shape);
  made.set(CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
  made.set(CUDNN_ATTR_TENSOR_DIMENSIONS, std::span(shape.begin(), shape.size()));
  made.set(CUDNN_ATTR_TENSOR_STRIDES, std::span(strides.begin(), strides.size()));
  made.set(CUDNN_ATTR_TENSOR_UNIQUE_ID, id);
  made.set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, int64_t{16});
  if (is_virtual) made.set(CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &is_virtual);
  made.finalize();
  return made;
}

void ConvGraph::pointwise(cudnnPointwiseMode_t mode, const Descriptor& x, const Descriptor* b, const Descriptor& y) {
  Descriptor& function = *parts_.emplace_back(std::make_unique<Descriptor>(CUDNN_BACKEND_POINTWISE_DESCRIPTOR));
  function.set(CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode);
  function.set(CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &arithmetic);
  // CUDNN_ATTR_POINTWISE_NAN_PROPAGATION, whose name the header calls deprecated. Without it, ReLU makes 0 of NaN
  // (cuDNN 9.19); a cuDNN that has it no more is judged by what its engines do, keeps_nan() in conv_check.h.
  constexpr auto nan_propagation = static_cast<cudnnBackendAttributeName_t>(2);
  const cudnnNanPropagation_t keep = CUDNN_PROPAGATE_NAN;
  if (mode == CUDNN_POINTWISE_RELU_FWD)
    static_cast<void>(function.try_set(nan_propagation, CUDNN_TYPE_NAN_PROPOGATION, 1, &keep));
  function.finalize();
  Descriptor& operation = operations_.emplace_back(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
  operation.set(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, function);
  operation.set(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x);
  if (b) operation.set(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, *b);
  operation.set(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y);
  operation.finalize();
}

ConvGraph::ConvGraph(const ConvKey& key) {
  Descriptor& convolution = *parts_.emplace_back(std::make_unique<Descriptor>(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR));
  const cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
  const Conv2dSpec& spec = key.spec;
  const Sides& p = spec.padding;
  const int64_t before[2] = {p[0], p[1]}, after[2] = {p[2], p[3]};
  const int64_t stride[2] = {spec.stride[0], spec.stride[1]}, dilation[2] = {spec.dilation[0], spec.dilation[1]};
  convolution.set(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &arithmetic);
  convolution.set(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode);
  convolution.set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, int64_t{2});
  convolution.set(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, before);
  convolution.set(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, after);
  convolution.set(CUDNN_ATTR_CONVOLUTION_DILATIONS, dilation);
  convolution.set(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, stride);
  convolution.finalize();

  struct Names {
    cudnnBackendDescriptorType_t operation;
    cudnnBackendAttributeName_t convolution, alpha, beta, x, w, y;
  };
  const Names names = key.pass == ConvPass::forward ? Names{CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
                                                            CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
                                                            CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
                                                            CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA,
                                                            CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
                                                            CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
                                                            CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y}
                      : key.pass == ConvPass::grad_input
                          ? Names{CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
                                  CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
                                  CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
                                  CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA,
                                  CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
                                  CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
                                  CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY}
                          : Names{CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
                                  CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
                                  CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
                                  CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA,
                                  CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
                                  CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
                                  CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY};

  // Between operations stand virtual tensors, which never come to memory and so keep the precision of the arithmetic.
  constexpr int64_t id_sum = 's', id_biased = 't';
  const bool follows = key.bias || key.relu;
  const Descriptor& x = tensor(id_x, key.x, key.dtype);
  const Descriptor& w = tensor(id_w, key.w, key.dtype);
  const Descriptor& y = tensor(id_y, key.y, key.dtype);
  const Descriptor& sum = follows ? tensor(id_sum, key.y, DType::float32, true) : y;
  Descriptor& operation = operations_.emplace_back(names.operation);
  operation.set(names.convolution, convolution);
  operation.set(names.alpha, 1.0f);
  operation.set(names.beta, 0.0f);
  operation.set(names.x, x);
  operation.set(names.w, w);
  operation.set(names.y, sum);
  operation.finalize();
  const Descriptor* last = &sum;
  if (key.bias) {
    const Descriptor& bias = tensor(id_bias, {1, key.w[0], 1, 1}, key.dtype);
    const Descriptor& biased = key.relu ? tensor(id_biased, key.y, DType::float32, true) : y;
    pointwise(CUDNN_POINTWISE_ADD, sum, &bias, biased);
    last = &biased;
  }
  if (key.relu) pointwise(CUDNN_POINTWISE_RELU_FWD, *last, nullptr, y);
}

std::unique_ptr<Descriptor> ConvGraph::bind(const Target& target) const {
  auto graph = std::make_unique<Descriptor>(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
  std::vector<cudnnBackendDescriptor_t> list;
  for (const Descriptor& operation : operations_) list.push_back(operation.raw());
  graph->set(CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, static_cast<int64_t>(list.size()),
             list.data());
  // A described GPU's properties come with the heuristic and the plan.
  if (target.is_there()) target.set(*graph, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_ATTR_OPERATIONGRAPH_HANDLE);
  return graph->try_finalize() ? std::move(graph) : nullptr;
}

// ---- Proposals ------------------------------------------------------------------------------------------------------

namespace {

/// The descriptors that an attribute lists.
std::vector<std::unique_ptr<Descriptor>> listed(const Descriptor& from, cudnnBackendAttributeName_t name,
                                                cudnnBackendDescriptorType_t type) {
  const int64_t count = from.get(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, nullptr);
  std::vector<std::unique_ptr<Descriptor>> list;
  std::vector<cudnnBackendDescriptor_t> raw;
  for (int64_t i = 0; i < count; ++i) raw.push_back(list.emplace_back(std::make_unique<Descriptor>(type))->raw());
  if (count > 0)
    list.resize(static_cast<size_t>(std::min(count, from.get(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, count, raw.data()))));
  return list;
}

Proposal describe(std::unique_ptr<Descriptor> config) {
  Descriptor engine(CUDNN_BACKEND_ENGINE_DESCRIPTOR);
  cudnnBackendDescriptor_t raw = engine.raw();
  config->get(CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &raw);
  int64_t number = -1;
  engine.get(CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, &number);
  cudnnBackendNumericalNote_t notes[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
  const int64_t count = std::min<int64_t>(
      CUDNN_NUMERICAL_NOTE_TYPE_COUNT,
      engine.get(CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE, CUDNN_NUMERICAL_NOTE_TYPE_COUNT, notes));
  const auto noted = [&](cudnnBackendNumericalNote_t note) {
    return std::find(notes, notes + count, note) != notes + count;
  };
  std::string knobs;
  for (const auto& choice : listed(*config, CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR)) {
    cudnnBackendKnobType_t type{};
    int64_t value = 0;
    choice->get(CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE, 1, &type);
    choice->get(CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, CUDNN_TYPE_INT64, 1, &value);
    knobs += text(knobs.empty() ? "" : ", ", static_cast<int>(type), "=", value);
  }
  return {.config = std::move(config),
          .name = text("engine ", number, knobs.empty() ? "" : " (", knobs, knobs.empty() ? "" : ")"),
          .deterministic = !noted(CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC),
          .tensor_cores = noted(CUDNN_NUMERICAL_NOTE_TENSOR_CORE),
          .converts_down = noted(CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS)};
}

}  // namespace

std::optional<Proposal> Proposals::next() {
  static constexpr cudnnBackendHeurMode_t modes[] = {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK};
  while (true) {
    while (!configs_.empty()) {
      Proposal proposal = describe(std::move(configs_.back()));
      configs_.pop_back();
      if (std::find(given_.begin(), given_.end(), proposal.name) != given_.end()) continue;
      given_.push_back(proposal.name);
      return proposal;
    }
    if (list_ == std::size(modes)) return std::nullopt;
    Descriptor heuristic(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
    heuristic.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph_);
    heuristic.set(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &modes[list_++]);
    if (!target_.is_there()) target_.set(heuristic, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP);
    if (!heuristic.try_finalize()) continue;  // it has nothing to say of this graph
    configs_ = listed(heuristic, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
    std::reverse(configs_.begin(), configs_.end());
  }
}

bool allowed(const Proposal& proposal, DType dtype, const AcceleratorSettings& settings) {
  if (!proposal.deterministic && !settings.fast) return false;
  const bool strict = dtype == DType::float32 && !settings.tf32;
  return !strict || (!proposal.tensor_cores && !proposal.converts_down);
}

std::unique_ptr<Descriptor> make_plan(const Target& target, const Proposal& proposal) {
  auto plan = std::make_unique<Descriptor>(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
  target.set(*plan, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP);
  plan->set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, *proposal.config);
  return plan->try_finalize() ? std::move(plan) : nullptr;
}

}  // namespace gradus::cuda
