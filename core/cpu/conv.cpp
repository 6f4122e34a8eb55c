// Convolution on the CPU: the choice of algorithm, and operands in the layouts that it takes.
#include <algorithm>
#include <chrono>
#include <map>
#include <mutex>
#include <tuple>

#include "core/conv_key.h"
#include "core/convolution.h"
#include "core/cpu/amx/grad_weight.h"
#include "core/cpu/direct_conv.h"
#include "core/cpu/layout.h"
#include "core/cpu/stretch.h"
#include "core/cpu/winograd/winograd.h"
#include "core/kernels.h"
#include "core/parallel.h"

namespace gradus::kernels {
namespace {

using cpu::as_layout;
using cpu::write_as_layout;

/// The problem as Winograd's kernels see it, from the shapes of input, filter and output.
winograd::Problem winograd_problem(const Shape& x, const Shape& w, const Shape& y, const Conv2dSpec& spec) {
  return {x[0], x[2], x[3], y[2], y[3], x[1], w[0], spec.padding[0], spec.padding[1], spec.stride[0]};
}

bool winograd_fits(DType dtype, const Shape& w, const Conv2dSpec& spec) {
  const bool small_padding =
      std::all_of(std::begin(spec.padding), std::end(spec.padding), [](int64_t p) { return p >= 0 && p <= 2; });
  const int64_t stride = spec.stride[0];
  const bool regular =
      stride == 1 || (stride == 2 && dtype == DType::float32 && (spec.padding[0] - spec.padding[1]) % 2 == 0);
  return (dtype == DType::float32 || dtype == DType::bfloat16) && w[2] == 3 && w[3] == 3 && regular &&
         spec.stride[1] == stride && spec.dilation[0] == 1 && spec.dilation[1] == 1 && spec.groups == 1 &&
         small_padding && winograd::available() && winograd::supports(w[1], w[0]);
}

/// The fixed rule: with few channels the transforms outweigh the products that they save, and tiles that hang over the
/// border do work for nothing. Stride 1 saves three quarters of the products, stride 2 less than half. Of bfloat16 the
/// direct sum's products take half of the time of float32's, on a matrix unit an eighth and less; without instructions
/// for them they are float32's.
bool winograd_pays(DType dtype, const winograd::Problem& p) {
  if (dtype == DType::bfloat16 && cpu::amx::available()) return false;
  const auto covered = [](int64_t extent) { return (extent + 3) / 4 * 4; };
  const int64_t computed = covered(p.out_height) * covered(p.out_width), wanted = p.out_height * p.out_width;
  return std::min(p.in, p.out) >= 32 && (p.stride == 1 ? 2 * wanted >= computed : 4 * wanted >= 3 * computed);
}

double seconds_of(const auto& run) {
  const auto begin = std::chrono::steady_clock::now();
  run();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

/// Runs whichever of the two is faster for this pass and problem: both are timed the first time that they are seen.
void run_faster(ConvPass pass, DType dtype, const winograd::Problem& p, const auto& direct, const auto& fast) {
  using Key = std::tuple<ConvPass, DType, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int>;
  static std::mutex mutex;
  static std::map<Key, bool> fast_wins;
  const Key key{pass,        dtype, p.images, p.height, p.width,       p.out_height,
                p.out_width, p.in,  p.out,    p.stride, threads_here()};
  const std::lock_guard lock(mutex);
  auto known = fast_wins.find(key);
  if (known == fast_wins.end()) {
    double best[2] = {1e30, 1e30};
    for (int repeat = 0; repeat < 3; ++repeat) {  // the first one also makes plans and touches memory
      best[0] = std::min(best[0], seconds_of(direct));
      best[1] = std::min(best[1], seconds_of(fast));
    }
    known = fast_wins.emplace(key, best[1] < best[0]).first;
  }
  if (known->second)
    fast();
  else
    direct();
}

/// Runs direct() or, with an element of the activations' type, fast(problem, T()).
void choose(ConvPass pass, DType dtype, const Shape& x, const Shape& w, const Shape& y, const Conv2dSpec& spec,
            const auto& direct, const auto& fast) {
  if (!winograd_fits(dtype, w, spec)) return direct();
  const winograd::Problem problem = winograd_problem(x, w, y, spec);
  const auto by_winograd = [&] {
    if (dtype == DType::bfloat16)
      fast(problem, bfloat16());
    else
      fast(problem, float());
  };
  switch (conv_algorithm()) {
    case ConvAlgorithm::direct: return direct();
    case ConvAlgorithm::winograd: return by_winograd();
    case ConvAlgorithm::automatic: return winograd_pays(dtype, problem) ? by_winograd() : direct();
    case ConvAlgorithm::measure: return run_faster(pass, dtype, problem, direct, by_winograd);
  }
}

/// Whether the gradient of the weight goes to the matrix unit: a fixed rule, as that for Winograd.
bool tiles_fit(DType dtype, const Shape& w, const Conv2dSpec& spec) {
  const ConvAlgorithm asked = conv_algorithm();
  if (asked == ConvAlgorithm::direct || (asked == ConvAlgorithm::winograd && winograd_fits(dtype, w, spec)))
    return false;
  return dtype == DType::bfloat16 && w[0] % 32 == 0 && w[1] % 32 == 0 && spec.groups == 1 && spec.dilation[0] == 1 &&
         spec.dilation[1] == 1 && cpu::amx::available();
}

/// w as bfloat16 holds it, in float32.
Tensor rounded(const Tensor& w) {
  Tensor narrow = Tensor::empty(w.shape(), DType::bfloat16);
  kernels::copy(w, narrow);
  return cpu::in_float32(narrow);
}

/// Runs body(out) with an output in float32 in place of y: the processor has no instructions for y's dtype.
template <class Body>
void in_wide(Tensor& y, Body body) {
  Tensor wide = Tensor::empty(y.shape(), DType::float32, Layout::channels_last);
  body(wide);
  kernels::copy(wide, y);
}

float* floats(const Tensor& t) { return t.defined() ? t.data<float>() : nullptr; }

}  // namespace

void conv2d_forward(const Tensor& x, const Tensor& w, const Tensor& bias, bool relu, const Conv2dSpec& spec,
                    Tensor& y) {
  if (y.numel() == 0) return;
  // An empty sum (no input channels) is no convolution for oneDNN.
  if (!cpu::in_floats(y) || w.numel() == 0) return ref::conv2d_forward(x, w, bias, relu, spec, y);
  const Tensor input = as_layout(x, Layout::channels_last), weight = as_layout(w, Layout::contiguous);
  const Tensor shift = as_layout(bias, Layout::contiguous);
  write_as_layout(y, Layout::channels_last, [&](Tensor& out) {
    choose(
        ConvPass::forward, x.dtype(), x.shape(), w.shape(), y.shape(), spec,
        [&] {
          if (device::has_fast(x.dtype())) return cpu::direct_conv_forward(input, weight, shift, relu, spec, out);
          in_wide(out, [&](Tensor& wide) {
            conv2d_forward(cpu::in_float32(input), rounded(weight), shift, relu, spec, wide);
          });
        },
        [&]<class T>(const winograd::Problem& p, T) {
          winograd::forward(p, input.data<T>(), floats(cpu::in_float32(weight)), floats(shift), relu, out.data<T>());
        });
  });
}

void conv2d_grad_input(const Tensor& gy, const Tensor& w, const Conv2dSpec& spec, Tensor& gx) {
  if (gx.numel() == 0) return;
  if (!cpu::in_floats(gx) || gy.numel() == 0) return ref::conv2d_grad_input(gy, w, spec, gx);
  const Tensor gradient = as_layout(gy, Layout::channels_last), weight = as_layout(w, Layout::contiguous);
  write_as_layout(gx, Layout::channels_last, [&](Tensor& out) {
    choose(
        ConvPass::grad_input, gx.dtype(), gx.shape(), w.shape(), gy.shape(), spec,
        [&] {
          if (device::has_fast(gx.dtype())) return cpu::direct_conv_grad_input(gradient, weight, spec, out);
          in_wide(out,
                  [&](Tensor& wide) { conv2d_grad_input(cpu::in_float32(gradient), rounded(weight), spec, wide); });
        },
        [&]<class T>(const winograd::Problem& p, T) {
          winograd::grad_input(p, gradient.data<T>(), floats(cpu::in_float32(weight)), out.data<T>());
        });
  });
}

void conv2d_grad_weight(const Tensor& gy, const Tensor& x, const Conv2dSpec& spec, Tensor& gw) {
  if (gw.numel() == 0) return;
  if (!cpu::in_floats(gy) || gy.numel() == 0) return ref::conv2d_grad_weight(gy, x, spec, gw);
  const Tensor gradient = as_layout(gy, Layout::channels_last), input = as_layout(x, Layout::channels_last);
  write_as_layout(gw, Layout::contiguous, [&](Tensor& out) {
    const Shape &in = x.shape(), &w = gw.shape(), &y = gy.shape();
    if (tiles_fit(x.dtype(), w, spec))
      return cpu::amx::grad_weight({in[0], in[2], in[3], y[2], y[3], w[1], w[0], w[2], w[3], spec.padding[0],
                                    spec.padding[1], spec.stride[0], spec.stride[1]},
                                   input.data<bfloat16>(), gradient.data<bfloat16>(), floats(out));
    choose(
        ConvPass::grad_weight, x.dtype(), x.shape(), gw.shape(), gy.shape(), spec,
        [&] {
          if (device::has_fast(x.dtype())) return cpu::direct_conv_grad_weight(gradient, input, spec, out);
          conv2d_grad_weight(cpu::in_float32(gradient), cpu::in_float32(input), spec, out);
        },
        [&]<class T>(const winograd::Problem& p, T) {
          winograd::grad_weight(p, input.data<T>(), gradient.data<T>(), floats(out));
        });
  });
}

void conv2d_gradients(const Tensor& gy, const Tensor& y, const Tensor& x, const Tensor& w, const Conv2dSpec& spec,
                      Tensor& gx, Tensor& gw, Tensor& gbias) {
  Tensor gz = gy;
  if (y.defined()) {
    gz = Tensor::empty_like(y);
    bias_relu_backward(gy, y, gz, gbias);
  }
  if (gx.defined()) conv2d_grad_input(gz, w, spec, gx);
  conv2d_grad_weight(gz, x, spec, gw);
}

}  // namespace gradus::kernels
