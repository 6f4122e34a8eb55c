#include "apps/bench/onednn_conv.h"

#include <cmath>
#include <dnnl.hpp>
#include <memory>
#include <optional>
#include <unordered_map>

namespace gradus::apps::bench {
namespace {

using dnnl::memory;
using Descriptor = memory::desc;
using Tag = memory::format_tag;

dnnl::engine& engine() {
  static dnnl::engine cpu(dnnl::engine::kind::cpu, 0);
  return cpu;
}

memory::dims dims(const Shape& shape) { return {shape.begin(), shape.end()}; }

/// A convolution in one algorithm with one layout of activations; every creation may throw dnnl::error.
struct Problem {
  dnnl::algorithm algorithm;
  Descriptor x, w, bias, y, gw;
  memory::dims strides, dilates, begin, end;

  dnnl::convolution_forward::primitive_desc forward() const {
    dnnl::post_ops relu;
    dnnl::primitive_attr attr;
#if DNNL_VERSION_MAJOR >= 3
    relu.append_eltwise(dnnl::algorithm::eltwise_relu, 0.0f, 0.0f);
    attr.set_post_ops(relu);
    return {engine(), dnnl::prop_kind::forward_training, algorithm, x, w, bias, y, strides, dilates, begin, end, attr};
#else
    relu.append_eltwise(1.0f, dnnl::algorithm::eltwise_relu, 0.0f, 0.0f);
    attr.set_post_ops(relu);
    return {
        {dnnl::prop_kind::forward_training, algorithm, x, w, bias, y, strides, dilates, begin, end}, attr, engine()};
#endif
  }
  dnnl::convolution_backward_data::primitive_desc grad_input() const {
#if DNNL_VERSION_MAJOR >= 3
    return {engine(), algorithm, x, w, y, strides, dilates, begin, end, forward()};
#else
    return {{algorithm, x, w, y, strides, dilates, begin, end}, engine(), forward()};
#endif
  }
  dnnl::convolution_backward_weights::primitive_desc grad_weight() const {
#if DNNL_VERSION_MAJOR >= 3
    return {engine(), algorithm, x, gw, bias, y, strides, dilates, begin, end, forward()};
#else
    return {{algorithm, x, gw, bias, y, strides, dilates, begin, end}, engine(), forward()};
#endif
  }
};

/// Memory filled with small numbers: zeros could be faster than what nets compute.
memory filled(const Descriptor& descriptor) {
  memory result(descriptor, engine());
  const size_t bytes = descriptor.get_size();
  auto* halves = static_cast<uint16_t*>(result.get_data_handle());
  for (size_t i = 0; i < bytes / 2; ++i)
    halves[i] = static_cast<uint16_t>(0x3c00 + i % 251);  // about 0.01 in either dtype
  return result;
}

template <class Made>
std::function<void()> runner(const Made& primitive, const std::unordered_map<int, Descriptor>& operands) {
  auto arguments = std::make_shared<std::unordered_map<int, memory>>();
  for (const auto& [argument, descriptor] : operands) arguments->emplace(argument, filled(descriptor));
  auto stream = std::make_shared<dnnl::stream>(engine());
  return [primitive, arguments, stream] {
    primitive.execute(*stream, *arguments);
    stream->wait();
  };
}

std::function<void()> make(Pass pass, const Problem& problem) {
  switch (pass) {
    case Pass::forward: {
      const auto d = problem.forward();
      return runner(dnnl::convolution_forward(d), {{DNNL_ARG_SRC, d.src_desc()},
                                                   {DNNL_ARG_WEIGHTS, d.weights_desc()},
                                                   {DNNL_ARG_BIAS, d.bias_desc()},
                                                   {DNNL_ARG_DST, d.dst_desc()}});
    }
    case Pass::grad_input: {
      const auto d = problem.grad_input();
      return runner(dnnl::convolution_backward_data(d), {{DNNL_ARG_DIFF_SRC, d.diff_src_desc()},
                                                         {DNNL_ARG_WEIGHTS, d.weights_desc()},
                                                         {DNNL_ARG_DIFF_DST, d.diff_dst_desc()}});
    }
    case Pass::grad_weight: break;
  }
  const auto d = problem.grad_weight();
  return runner(dnnl::convolution_backward_weights(d), {{DNNL_ARG_SRC, d.src_desc()},
                                                        {DNNL_ARG_DIFF_WEIGHTS, d.diff_weights_desc()},
                                                        {DNNL_ARG_DIFF_BIAS, d.diff_bias_desc()},
                                                        {DNNL_ARG_DIFF_DST, d.diff_dst_desc()}});
}

}  // namespace

std::vector<Primitive> onednn_primitives(Pass pass, const Shape& x, const Shape& w, const Shape& y,
                                         const Conv2dSpec& spec, DType dtype) {
  using Type = memory::data_type;
  const Type type = dtype == DType::bfloat16 ? Type::bf16 : Type::f32;
  const auto problem = [&](dnnl::algorithm algorithm, Tag activations) {
    return Problem{algorithm,
                   {dims(x), type, activations},
                   {dims(w), type, Tag::any},
                   {{w[0]}, Type::f32, Tag::x},
                   {dims(y), type, activations},
                   {dims(w), Type::f32, Tag::any},
                   {spec.stride[0], spec.stride[1]},
                   {spec.dilation[0] - 1, spec.dilation[1] - 1},
                   {spec.padding[0], spec.padding[1]},
                   {spec.padding[2], spec.padding[3]}};
  };
  const struct {
    const char* name;
    dnnl::algorithm algorithm;
    Tag activations;
  } ways[] = {{"direct, channels-last", dnnl::algorithm::convolution_direct, Tag::nhwc},
              {"direct, own layout", dnnl::algorithm::convolution_direct, Tag::any},
              {"Winograd", dnnl::algorithm::convolution_winograd, Tag::any}};
  std::vector<Primitive> primitives;
  for (const auto& way : ways) try {
      primitives.push_back({way.name, make(pass, problem(way.algorithm, way.activations))});
    } catch (const dnnl::error&) {
      continue;  // it has no such primitive for these shapes
    }
  return primitives;
}

}  // namespace gradus::apps::bench
