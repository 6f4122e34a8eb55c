// Plans of oneDNN's direct convolutions, made once for each geometry and number of threads.
#include "core/cpu/direct_conv.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "core/conv_key.h"
#include "core/cpu/layout.h"
#include "core/cpu/onednn.h"
#include "core/parallel.h"

namespace gradus::cpu {

namespace {

/// The primitive, the layout of weights that it chose, and the reorder between that layout and ours (to it before the
/// convolution, from it after grad_weight; none where the layouts are one). A bfloat16 convolution takes bfloat16
/// weights, to which the reorder rounds float32 ones, and sums their gradient in float32. Scratch memory comes from the
/// caching allocator for the time of a call: it is shared with all other work, and plans stay small.
struct Plan {
  dnnl::primitive convolution, reorder;
  onednn::Descriptor x, y, bias, weight, weight_row_major, scratchpad, reorder_scratchpad;
  bool reorders = false;
};

Plan make_plan(const ConvKey& key) {
  using namespace onednn;
  const int64_t groups = key.spec.groups;
  const ConvolutionGeometry geometry(key.spec);
  Plan plan;
  plan.x = channels_last(key.x, key.dtype);
  plan.y = channels_last(key.y, key.dtype);
  plan.weight_row_major = weight_row_major(key.w, groups, key.weight);
  if (key.bias) plan.bias = onednn::vector(key.w[0]);
  const Descriptor any = weight_any(key.w, groups, key.dtype);
  const auto forward =
      convolution_forward(plan.x, any, plan.bias, plan.y, geometry, key.relu ? relu_attributes() : attributes());
  const auto adopt = [&](const auto& description, const Descriptor& weight) {
    plan.weight = weight;
    plan.scratchpad = description.scratchpad_desc();
  };
  switch (key.pass) {
    case ConvPass::forward:
      adopt(forward, forward.weights_desc());
      plan.convolution = dnnl::convolution_forward(forward);
      break;
    case ConvPass::grad_input: {
      const auto backward = convolution_grad_input(plan.x, any, plan.y, geometry, forward);
      adopt(backward, backward.weights_desc());
      plan.convolution = dnnl::convolution_backward_data(backward);
      break;
    }
    case ConvPass::grad_weight: {
      const auto backward =
          convolution_grad_weight(plan.x, weight_any(key.w, groups, key.weight), plan.y, geometry, forward);
      adopt(backward, backward.diff_weights_desc());
      plan.convolution = dnnl::convolution_backward_weights(backward);
      break;
    }
  }
  plan.reorders = plan.weight != plan.weight_row_major;
  if (plan.reorders) {
    const bool after = key.pass == ConvPass::grad_weight;
    const auto description = after ? onednn::reorder(plan.weight, plan.weight_row_major)
                                   : onednn::reorder(plan.weight_row_major, plan.weight);
    plan.reorder_scratchpad = description.scratchpad_desc();
    plan.reorder = dnnl::reorder(description);
  }
  return plan;
}

/// Plans of the whole process. A plan is not changed by running it, so threads may share one.
std::shared_ptr<const Plan> plan_for(const ConvKey& key) {
  static std::mutex mutex;
  static std::unordered_map<ConvKey, std::shared_ptr<const Plan>, ConvKeyHash> plans;
  constexpr size_t most = 4096;  // a program with ever new shapes must not grow for ever
  const std::lock_guard lock(mutex);
  if (const auto found = plans.find(key); found != plans.end()) return found->second;
  if (plans.size() >= most) plans.clear();
  return plans.emplace(key, std::make_shared<const Plan>(make_plan(key))).first->second;
}

/// Memory of a call's duration.
class Scratch {
 public:
  explicit Scratch(const onednn::Descriptor& descriptor)
      : storage_(Storage::allocate(descriptor.get_size())), memory_(onednn::memory(descriptor, storage_.data())) {}
  const dnnl::memory& memory() const { return memory_; }

 private:
  Storage storage_;
  dnnl::memory memory_;
};

void run_reorder(const Plan& plan, const dnnl::memory& from, const dnnl::memory& to) {
  const Scratch scratchpad(plan.reorder_scratchpad);
  plan.reorder.execute(
      onednn::stream(),
      onednn::Arguments{{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}, {DNNL_ARG_SCRATCHPAD, scratchpad.memory()}});
}

/// Runs the convolution with the weights (an input, or grad_weight's output) in the primitive's layout.
void run(const Plan& plan, int weight_argument, const Tensor& w, onednn::Arguments arguments) {
  const bool is_output = weight_argument == DNNL_ARG_DIFF_WEIGHTS;
  const dnnl::memory row_major = onednn::memory(plan.weight_row_major, w.raw());
  const Scratch scratchpad(plan.scratchpad);
  arguments.emplace(DNNL_ARG_SCRATCHPAD, scratchpad.memory());
  if (!plan.reorders) {
    arguments.emplace(weight_argument, row_major);
    plan.convolution.execute(onednn::stream(), arguments);
  } else {
    const Scratch reordered(plan.weight);
    if (!is_output) run_reorder(plan, row_major, reordered.memory());
    arguments.emplace(weight_argument, reordered.memory());
    plan.convolution.execute(onednn::stream(), arguments);
    if (is_output) run_reorder(plan, reordered.memory(), row_major);
  }
  onednn::stream().wait();
}

ConvKey key_of(ConvPass pass, const Tensor& x, const Tensor& w, const Tensor& y, const Conv2dSpec& spec,
               bool bias = false, bool relu = false) {
  return {.pass = pass,
          .bias = bias,
          .relu = relu,
          .dtype = x.dtype(),
          .weight = w.dtype(),
          .variant = threads_here(),
          .x = x.shape(),
          .w = w.shape(),
          .y = y.shape(),
          .spec = spec};
}

/// Whether all elements are finite. (That their sum is not may be an overflow, which only costs time.)
bool is_finite(const Tensor& x) {
  Dims ones;
  for (int d = 0; d < x.rank(); ++d) ones.push_back(1);
  Tensor sum = Tensor::empty(Shape(ones), x.dtype());
  kernels::reduce(ReduceOp::sum, x, sum);
  return std::isfinite(sum.item());
}

/// The pixels that a 1x1 convolution without padding reads, in memory of their own: y's height and width.
Tensor pixels_read(const Tensor& x, const Shape& y, const Conv2dSpec& spec) {
  Dims strides = x.strides();
  strides[2] *= spec.stride[0];
  strides[3] *= spec.stride[1];
  return as_layout(Tensor(x.storage(), x.offset(), {x.size(0), x.size(1), y[2], y[3]}, strides, x.dtype()),
                   Layout::channels_last);
}

}  // namespace

void direct_conv_forward(const Tensor& x, const Tensor& w, const Tensor& bias, bool relu, const Conv2dSpec& spec,
                         Tensor& y) {
  // oneDNN's relu makes 0 of NaN, which would hide a training that has diverged.
  if (relu && !(is_finite(x) && is_finite(w) && (!bias.defined() || is_finite(bias)))) {
    direct_conv_forward(x, w, bias, false, spec, y);
    return kernels::unary(UnaryOp::relu, y, y);
  }
  const ConvKey key = key_of(ConvPass::forward, x, w, y, spec, bias.defined(), relu);
  onednn::guarded(name(key.pass), [&] {
    const auto plan = plan_for(key);
    onednn::Arguments arguments{{DNNL_ARG_SRC, onednn::memory(plan->x, x.raw())},
                                {DNNL_ARG_DST, onednn::memory(plan->y, y.raw())}};
    if (key.bias) arguments.emplace(DNNL_ARG_BIAS, onednn::memory(plan->bias, bias.raw()));
    run(*plan, DNNL_ARG_WEIGHTS, w, std::move(arguments));
  });
}

void direct_conv_grad_input(const Tensor& gy, const Tensor& w, const Conv2dSpec& spec, Tensor& gx) {
  const ConvKey key = key_of(ConvPass::grad_input, gx, w, gy, spec);
  onednn::guarded(name(key.pass), [&] {
    const auto plan = plan_for(key);
    run(*plan, DNNL_ARG_WEIGHTS, w,
        {{DNNL_ARG_DIFF_SRC, onednn::memory(plan->x, gx.raw())},
         {DNNL_ARG_DIFF_DST, onednn::memory(plan->y, gy.raw())}});
  });
}

void direct_conv_grad_weight(const Tensor& gy, const Tensor& x, const Conv2dSpec& spec, Tensor& gw) {
  // Of bfloat16 rows shorter than the stride oneDNN 2.6.3 reads past their ends.
  if (x.dtype() == DType::bfloat16 && x.size(3) < spec.stride[1])
    return direct_conv_grad_weight(in_float32(gy), in_float32(x), spec, gw);
  // With AVX2 oneDNN 2.6.3 computes a wrong gradient of 1x1 weights at a stride, or never ends, for fewer than 8 input
  // channels.
  const bool is_pointwise = gw.size(2) == 1 && gw.size(3) == 1;
  const bool is_padded = std::any_of(std::begin(spec.padding), std::end(spec.padding), [](int64_t p) { return p > 0; });
  const bool strides = spec.stride[0] > 1 || spec.stride[1] > 1;
  if (is_pointwise && strides && !is_padded && spec.groups == 1 && x.size(1) < 8)
    return direct_conv_grad_weight(gy, pixels_read(x, gy.shape(), spec), {}, gw);
  const ConvKey key = key_of(ConvPass::grad_weight, x, gw, gy, spec);
  onednn::guarded(name(key.pass), [&] {
    const auto plan = plan_for(key);
    run(*plan, DNNL_ARG_DIFF_WEIGHTS, gw,
        {{DNNL_ARG_SRC, onednn::memory(plan->x, x.raw())}, {DNNL_ARG_DIFF_DST, onednn::memory(plan->y, gy.raw())}});
  });
}

}  // namespace gradus::cpu
