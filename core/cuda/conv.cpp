// Convolution on the GPU: by own kernels where they can and pay, for few input channels, by Winograd's algorithm and
// for the weight's gradient in TF32; else by cuDNN, with operands in the form that it takes; and by plain kernels where
// it takes none.
#include <algorithm>
#include <cstdint>
#include <functional>
#include <mutex>
#include <vector>

#include "core/accelerator.h"
#include "core/as_layout.h"
#include "core/cuda/bias_relu.h"
#include "core/cuda/conv_plan.h"
#include "core/cuda/corner_copy.h"
#include "core/cuda/few_channels.h"
#include "core/cuda/grad_weight.h"
#include "core/cuda/launch.h"
#include "core/cuda/side_stream.h"
#include "core/cuda/winograd.h"
#include "core/error.h"
#include "core/kernels.h"

namespace gradus::kernels {
namespace {

using cuda::ConvOperands;
using cuda::library_conv;
using cuda::output_of;

int64_t rounded_up(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }

/// The corner of a larger tensor: a view with these extents that begins at `at`.
Tensor window(const Tensor& x, const Dims& at, const Shape& shape) {
  int64_t offset = x.offset();
  for (int d = 0; d < x.rank(); ++d) offset += at[d] * x.strides()[d];
  return Tensor(x.storage(), offset, shape, x.strides(), x.dtype());
}

bool is_ready(const Tensor& x) {
  return (x.rank() == 4 ? x.is_channels_last() : x.is_contiguous()) && reinterpret_cast<uintptr_t>(x.raw()) % 16 == 0;
}

/// Parameters as cuDNN reads them: channels-last, in the activations' dtype, inside larger ones. The gradient of the
/// input takes the copy that the forward pass made, and so do the batches of an evaluation, as long as the parameter is
/// unchanged. Whoever asks for a copy that is out of date has all such copies made anew, by one kernel.
class ParameterCopies {
 public:
  static ParameterCopies& instance() {
    static ParameterCopies* copies = new ParameterCopies;  // outlives static tensors
    return *copies;
  }

  /// The copy of x with this dtype in the corner of this shape, zero around it.
  Tensor find(const Tensor& x, DType dtype, const Shape& shape) {
    const std::lock_guard lock(mutex_);
    std::erase_if(entries_, [](const Entry& e) { return e.source.storage().unique(); });
    const auto is_wanted = [&](const Entry& e) {
      return e.source.raw() == x.raw() && e.source.shape() == x.shape() && e.source.strides() == x.strides() &&
             e.source.dtype() == x.dtype() && e.dtype == dtype && e.shape == shape;
    };
    auto found = std::find_if(entries_.begin(), entries_.end(), is_wanted);
    if (found == entries_.end()) {
      if (entries_.size() >= most) entries_.erase(entries_.begin());
      found = entries_.insert(entries_.end(), {x, dtype, shape});
    }
    if (!found->is_current()) renew();
    return found->copy;
  }

 private:
  static constexpr size_t most = 128;
  struct Entry {
    Tensor source;  // keeps the memory, so that nothing else comes to its place
    DType dtype;
    Shape shape;
    uint64_t version = 0;
    int64_t events = 0;
    Tensor copy = {};

    bool is_current() const {
      return copy.defined() && events == cuda::recording_events() && version == source.version();
    }
  };

  void renew() {
    std::vector<cuda::CornerCopy> copies;
    for (Entry& e : entries_) {
      if (e.is_current()) continue;
      e.copy = Tensor::empty(e.shape, e.dtype, e.shape.rank() == 4 ? Layout::channels_last : Layout::contiguous);
      e.version = e.source.version();
      e.events = cuda::recording_events();
      cuda::keep_while_recorded(e.source.storage());  // it may be another model's
      copies.push_back({e.source, e.copy});
    }
    cuda::copy_to_corners(copies);
  }

  std::mutex mutex_;
  std::vector<Entry> entries_;
};

/// Whether x has this dtype and shape and is as cuDNN takes it.
bool is_inside(const Tensor& x, DType dtype, const Shape& shape) {
  return x.shape() == shape && x.dtype() == dtype && is_ready(x);
}

/// x inside a channels-last (or flat) tensor of this shape and dtype, at this place; x itself where that is no other.
/// Around x the larger tensor is zero. An output's elements are not copied.
Tensor inside(const Tensor& x, DType dtype, const Shape& shape, const Dims& at, bool is_output) {
  if (!x.defined() || is_inside(x, dtype, shape)) return x;
  Tensor larger = x.rank() == 4 ? Tensor::empty(shape, dtype, Layout::channels_last) : Tensor::empty(shape, dtype);
  if (is_output) return larger;
  if (!(shape == x.shape())) kernels::fill(0, larger);
  Tensor target = window(larger, at, x.shape());
  kernels::copy(x, target);
  return larger;
}

/// Runs the pass with x, w and y inside tensors of these shapes, x at (0, 0, top, left). Parameters are rounded to the
/// activations' dtype, and so is the weight's gradient: cuDNN takes no other beside bfloat16.
bool library_conv_inside(ConvPass pass, const ConvOperands& o, const Conv2dSpec& spec, const Shape& x, const Shape& w,
                         const Shape& y, int64_t top, int64_t left) {
  const Dims corner = {0, 0, 0, 0}, x_at = {0, 0, top, left};
  const DType dtype = o.x.dtype();
  const auto parameter = [&](const Tensor& p, const Shape& shape) {
    return !p.defined() || is_inside(p, dtype, shape) ? p : ParameterCopies::instance().find(p, dtype, shape);
  };
  const ConvOperands larger = {inside(o.x, dtype, x, x_at, pass == ConvPass::grad_input),
                               pass == ConvPass::grad_weight ? inside(o.w, dtype, w, corner, true) : parameter(o.w, w),
                               inside(o.y, dtype, y, corner, pass == ConvPass::forward), parameter(o.bias, {w[0]}),
                               o.relu};
  if (!library_conv(pass, larger, spec)) return false;
  const Tensor &from = output_of(pass, larger), &to = output_of(pass, o);
  if (from.storage() == to.storage()) return true;
  Tensor target = to;
  kernels::copy(window(from, pass == ConvPass::grad_input ? x_at : corner, to.shape()), target);
  return true;
}

/// Whether cuDNN's tensor cores need channels in multiples: of 16 bytes.
int64_t channel_multiple(DType dtype, int64_t groups) {
  if (groups != 1) return 1;
  return dtype == DType::bfloat16 ? 8 : accelerator().tf32 ? 4 : 1;
}

/// By cuDNN; false where it has no engine for this problem.
bool library_conv_of(ConvPass pass, const ConvOperands& o, const Conv2dSpec& spec) {
  const int64_t multiple = channel_multiple(o.x.dtype(), spec.groups);
  Shape x = o.x.shape(), w = o.w.shape(), y = o.y.shape();
  x[1] = rounded_up(x[1], multiple);
  w[0] = y[1] = rounded_up(w[0], multiple);
  if (spec.groups == 1) w[1] = x[1];
  if (library_conv_inside(pass, o, spec, x, w, y, 0, 0)) return true;

  const auto& p = spec.padding;
  if (p[0] == p[2] && p[1] == p[3]) return false;
  Conv2dSpec unpadded = spec;  // padded by hand instead: few engines know unequal paddings
  std::fill(std::begin(unpadded.padding), std::end(unpadded.padding), 0);
  x[2] += p[0] + p[2];
  x[3] += p[1] + p[3];
  return library_conv_inside(pass, o, unpadded, x, w, y, p[0], p[1]);
}

/// Sums of the operands as cuDNN would read them.
void conv_by_sums(ConvPass pass, const ConvOperands& o, const Conv2dSpec& spec) {
  ConvOperands rounded = o;
  if (pass != ConvPass::grad_weight && o.w.dtype() != o.x.dtype()) {
    rounded.w = Tensor::empty_like(o.w, o.x.dtype());
    kernels::copy(o.w, rounded.w);
  }
  cuda::plain_conv(pass, rounded, spec);
}

void conv(ConvPass pass, const ConvOperands& o, const Conv2dSpec& spec) {
  if (o.x.dtype() == DType::float64 || o.x.numel() == 0 || o.w.numel() == 0 || o.y.numel() == 0)
    return conv_by_sums(pass, o, spec);
  if (cuda::few_channels_conv(pass, o, spec) || cuda::winograd_conv(pass, o, spec) ||
      cuda::grad_weight_conv(pass, o, spec))
    return;
  if (library_conv_of(pass, o, spec)) return;
  if (o.bias.defined() || o.relu) {  // no engine does all at once
    Tensor y = o.y;
    if (library_conv_of(pass, {o.x, o.w, o.y}, spec)) return cuda::add_bias_relu(o.bias, o.relu, y);
  }
  warn(text("[", name(pass), "] cuDNN has no engine for x ", o.x.shape(), ", w ", o.w.shape(), " in ", o.x.dtype(),
            " that the settings allow; a plain and slow kernel takes its place"));
  conv_by_sums(pass, o, spec);
}

}  // namespace

void conv2d_forward(const Tensor& x, const Tensor& w, const Tensor& bias, bool relu, const Conv2dSpec& spec,
                    Tensor& y) {
  conv(ConvPass::forward, {x, w, y, bias, relu}, spec);
}

void conv2d_grad_input(const Tensor& gy, const Tensor& w, const Conv2dSpec& spec, Tensor& gx) {
  conv(ConvPass::grad_input, {gx, w, gy}, spec);
}

void conv2d_grad_weight(const Tensor& gy, const Tensor& x, const Conv2dSpec& spec, Tensor& gw) {
  conv(ConvPass::grad_weight, {x, gw, gy}, spec);
}

void conv2d_gradients(const Tensor& gy, const Tensor& y, const Tensor& x, const Tensor& w, const Conv2dSpec& spec,
                      Tensor& gx, Tensor& gw, Tensor& gbias) {
  if (!gx.defined() && cuda::few_channels_gradients({x, gw, gy}, {y, gbias}, spec)) return;
  Tensor gz = gy;
  std::function<void()> bias_sums = [] {};
  if (y.defined()) {
    gz = Tensor::empty_like(y);
    bias_sums = cuda::begin_bias_relu_backward(gy, y, gz, gbias);
  }
  const auto parameters = [&] {
    bias_sums();
    conv2d_grad_weight(gz, x, spec, gw);
  };
  const auto input = [&] {
    if (gx.defined()) conv2d_grad_input(gz, w, spec, gx);
  };
  cuda::overlap(input, parameters, {.read = {gz, x}, .written = {gw, gbias}});
}

}  // namespace gradus::kernels
