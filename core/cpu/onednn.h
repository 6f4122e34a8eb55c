// Every oneDNN call convention, in one place: engine and stream, memory descriptors of our tensors, and the creation of
// primitives, which differs between oneDNN 2.x (descriptor, then primitive descriptor) and 3.x (primitive descriptor).
// Private to core/cpu.
#pragma once

#include <dnnl.hpp>

#include <cstdint>
#include <string_view>
#include <unordered_map>

#include "core/error.h"
#include "core/kernels.h"
#include "core/parallel.h"

#if DNNL_CPU_THREADING_RUNTIME == DNNL_RUNTIME_OMP
#include <omp.h>
#endif

namespace gradus::cpu::onednn {

using Arguments = std::unordered_map<int, dnnl::memory>;
using Descriptor = dnnl::memory::desc;

inline dnnl::engine& engine() {
  static dnnl::engine cpu(dnnl::engine::kind::cpu, 0);
  return cpu;
}

inline dnnl::stream& stream() {
  static thread_local dnnl::stream in_order(engine());
  return in_order;
}

/// oneDNN asks OpenMP for its number of threads, when a primitive is made and when it runs: a setting of each thread.
/// It relies on getting them: with fewer, as OMP_DYNAMIC gives on a busy machine, parts of a sum would be left out.
inline void match_threads() {
#if DNNL_CPU_THREADING_RUNTIME == DNNL_RUNTIME_OMP
  if (omp_get_dynamic()) omp_set_dynamic(0);
  if (omp_get_max_threads() != threads_here()) omp_set_num_threads(threads_here());
#endif
}

/// Calls body() and turns oneDNN's exceptions into ours.
template <class Body>
auto guarded(std::string_view op, Body&& body) {
  try {
    match_threads();
    return body();
  } catch (const dnnl::error& error) {
    if (error.status == dnnl_unimplemented)
      fail(ErrorKind::backend, op, "oneDNN has no kernel for these dtypes and shapes on this processor (", error.what(),
           "); compute in float32");
    fail(ErrorKind::backend, op, "oneDNN: ", error.what(), " (status ", static_cast<int>(error.status), ")");
  }
}

/// Whether oneDNN has bfloat16 products of this processor's own, not emulated in float32.
inline bool has_bfloat16() {
  constexpr auto wanted = static_cast<int>(dnnl::cpu_isa::avx512_core_bf16);
  return (static_cast<int>(dnnl::get_effective_cpu_isa()) & wanted) == wanted;
}

// ---- Descriptors of memory: float32 and bfloat16 -------------------------------------------------------------------

inline dnnl::memory::data_type type_of(DType dtype) {
  return dtype == DType::bfloat16 ? dnnl::memory::data_type::bf16 : dnnl::memory::data_type::f32;
}

inline dnnl::memory::dims dims(const Dims& values) { return {values.begin(), values.end()}; }

/// Logical NCHW in NHWC memory.
inline Descriptor channels_last(const Shape& shape, DType dtype) {
  return {dims(shape), type_of(dtype), dnnl::memory::format_tag::nhwc};
}

/// OIHW, or GOIHW where there are groups.
inline dnnl::memory::dims weight_dims(const Shape& w, int64_t groups) {
  if (groups == 1) return {w[0], w[1], w[2], w[3]};
  return {groups, w[0] / groups, w[1], w[2], w[3]};
}
inline Descriptor weight_row_major(const Shape& w, int64_t groups, DType dtype) {
  using tag = dnnl::memory::format_tag;
  return {weight_dims(w, groups), type_of(dtype), groups == 1 ? tag::oihw : tag::goihw};
}
/// The layout is left to the primitive.
inline Descriptor weight_any(const Shape& w, int64_t groups, DType dtype) {
  return {weight_dims(w, groups), type_of(dtype), dnnl::memory::format_tag::any};
}
inline Descriptor vector(int64_t count) { return {{count}, dnnl::memory::data_type::f32, dnnl::memory::format_tag::x}; }

inline dnnl::memory memory(const Descriptor& descriptor, void* data) { return {descriptor, engine(), data}; }

// ---- Primitives; each takes its scratchpad from the caller ---------------------------------------------------------

struct ConvolutionGeometry {
  explicit ConvolutionGeometry(const Conv2dSpec& spec)
      : strides{spec.stride[0], spec.stride[1]},
        dilates{spec.dilation[0] - 1, spec.dilation[1] - 1},  // oneDNN counts the gaps
        padding_begin{spec.padding[0], spec.padding[1]},
        padding_end{spec.padding[2], spec.padding[3]} {}
  dnnl::memory::dims strides, dilates, padding_begin, padding_end;
};

inline dnnl::primitive_attr attributes() {
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attr;
}

inline dnnl::primitive_attr relu_attributes() {
  dnnl::post_ops ops;
#if DNNL_VERSION_MAJOR >= 3
  ops.append_eltwise(dnnl::algorithm::eltwise_relu, 0.0f, 0.0f);
#else
  ops.append_eltwise(1.0f, dnnl::algorithm::eltwise_relu, 0.0f, 0.0f);
#endif
  dnnl::primitive_attr attr = attributes();
  attr.set_post_ops(ops);
  return attr;
}

/// `bias` is the zero descriptor where there is none.
inline dnnl::convolution_forward::primitive_desc convolution_forward(const Descriptor& x, const Descriptor& w,
                                                                     const Descriptor& bias, const Descriptor& y,
                                                                     const ConvolutionGeometry& g,
                                                                     const dnnl::primitive_attr& attr) {
  constexpr auto kind = dnnl::prop_kind::forward_training;
  constexpr auto direct = dnnl::algorithm::convolution_direct;
#if DNNL_VERSION_MAJOR >= 3
  return {engine(), kind, direct, x, w, bias, y, g.strides, g.dilates, g.padding_begin, g.padding_end, attr};
#else
  return {{kind, direct, x, w, bias, y, g.strides, g.dilates, g.padding_begin, g.padding_end}, attr, engine()};
#endif
}

inline dnnl::convolution_backward_data::primitive_desc convolution_grad_input(
    const Descriptor& gx, const Descriptor& w, const Descriptor& gy, const ConvolutionGeometry& g,
    const dnnl::convolution_forward::primitive_desc& hint) {
  constexpr auto direct = dnnl::algorithm::convolution_direct;
#if DNNL_VERSION_MAJOR >= 3
  return {engine(), direct, gx, w, gy, g.strides, g.dilates, g.padding_begin, g.padding_end, hint, attributes()};
#else
  return {{direct, gx, w, gy, g.strides, g.dilates, g.padding_begin, g.padding_end}, attributes(), engine(), hint};
#endif
}

inline dnnl::convolution_backward_weights::primitive_desc convolution_grad_weight(
    const Descriptor& x, const Descriptor& gw, const Descriptor& gy, const ConvolutionGeometry& g,
    const dnnl::convolution_forward::primitive_desc& hint) {
  constexpr auto direct = dnnl::algorithm::convolution_direct;
#if DNNL_VERSION_MAJOR >= 3
  return {engine(), direct, x, gw, gy, g.strides, g.dilates, g.padding_begin, g.padding_end, hint, attributes()};
#else
  return {{direct, x, gw, gy, g.strides, g.dilates, g.padding_begin, g.padding_end}, attributes(), engine(), hint};
#endif
}

inline dnnl::reorder::primitive_desc reorder(const Descriptor& from, const Descriptor& to) {
  return {engine(), from, engine(), to, attributes()};
}

// ---- Matrix product ------------------------------------------------------------------------------------------------

/// A row-major matrix of bfloat16 or float32, or (transposed) the transpose of one, `stride` elements from row to row.
inline Descriptor matrix(int64_t rows, int64_t columns, int64_t stride, bool transposed, DType dtype) {
  using Strides = dnnl::memory::dims;
  return {Strides{rows, columns}, type_of(dtype), transposed ? Strides{1, stride} : Strides{stride, 1}};
}

inline dnnl::matmul::primitive_desc product(const Descriptor& a, const Descriptor& b, const Descriptor& c) {
#if DNNL_VERSION_MAJOR >= 3
  return {engine(), a, b, c, attributes()};
#else
  return {{a, b, c}, attributes(), engine()};
#endif
}

}  // namespace gradus::cpu::onednn
