// A campaign of random cases: convolution, transposed convolution and pooling against the reference in float64.
#include <cmath>
#include <string_view>

#include "core/convolution.h"
#include "core/ops.h"
#include "tests/core/random_cases.h"

using namespace gradus;
using namespace gradus::testing;

namespace {

struct Geometry {
  Shape x, w, y;
  Conv2dSpec spec;
};

Geometry draw_geometry(Draw& d, bool for_winograd) {
  Geometry g;
  const int64_t most = d.one_in(10) ? 40000000 : 3000000;
  int64_t groups = for_winograd ? 1 : d.of<int64_t>({1, 1, 1, 1, 1, 2, 3, 4, 7}), in = 1, out = 1;
  if (for_winograd) {
    in = 16 * d.whole(1, 6), out = 16 * d.whole(1, 6);
  } else {
    in = d.extent(d.one_in(10) ? 300 : 70), out = d.extent(d.one_in(10) ? 300 : 70);
    if (groups > 1 && d.one_in(3)) groups = in, in = out = 1;  // depthwise
  }
  Conv2dSpec& spec = g.spec;
  spec.groups = groups;
  int64_t kernel[2], extent[2];
  const int64_t square = d.of<int64_t>({1, 2, 3, 3, 3, 4, 5, 7}), stride = d.whole(1, 3), dilation = d.of({1, 1, 2, 3});
  const bool same = d.one_in(2);
  for (int i = 0; i < 2; ++i) {
    kernel[i] = for_winograd ? 3 : same ? square : d.whole(1, 5);
    spec.stride[i] = for_winograd ? 1 + stride % 2 : same ? stride : d.whole(1, 4);
    spec.dilation[i] = for_winograd ? 1 : same ? dilation : d.of({1, 1, 2});
    const int64_t window = spec.dilation[i] * (kernel[i] - 1) + 1;
    const int64_t widest = for_winograd ? 2 : d.one_in(8) ? window + 1 : window / 2;
    spec.padding[i] = d.whole(0, widest), spec.padding[2 + i] = d.one_in(2) ? spec.padding[i] : d.whole(0, widest);
    extent[i] = std::max<int64_t>(1, window - spec.padding[i] - spec.padding[2 + i]) + d.whole(0, d.of({2, 8, 20}));
  }
  const int64_t step = for_winograd ? 16 : 1;
  int64_t images = d.whole(1, d.one_in(8) ? 40 : 3);
  while (true) {
    g.x = {images, in * groups, extent[0], extent[1]}, g.w = {out * groups, in, kernel[0], kernel[1]};
    g.y = conv2d_shape(g.x, g.w, spec);
    if (numel(g.y) * in * kernel[0] * kernel[1] <= most) break;
    int64_t& largest = images > 4 ? images : in > out ? in : out;
    largest = std::max<int64_t>(&largest == &images ? 1 : step, largest / 2 / step * step);
    if (in == step && out == step && images <= 4) break;
  }
  if (d.one_in(60)) g.x[0] = g.y[0] = 0;
  d.say("x", g.x, "w", g.w, "stride", spec.stride[0], spec.stride[1], "padding", spec.padding[0], spec.padding[1],
        spec.padding[2], spec.padding[3], "dilation", spec.dilation[0], spec.dilation[1], "groups", groups);
  return g;
}

/// Whether convolutions may go by Winograd now.
bool may_be_winograd(const Geometry& g) {
  return conv_algorithm() != ConvAlgorithm::direct && g.w[2] == 3 && g.w[3] == 3 && g.w[0] % 16 == 0 &&
         g.w[1] % 16 == 0 && g.spec.groups == 1 && g.spec.dilation[0] == 1 && g.spec.dilation[1] == 1;
}

/// Whether elements of this view lie in one place.
bool repeats(const Tensor& x) {
  int64_t last = 0;
  for (int d = 0; d < x.rank(); ++d) {
    if (x.shape()[d] > 1 && x.strides()[d] == 0) return true;
    last += x.strides()[d] * (x.shape()[d] - 1);
  }
  return last + 1 < x.numel();
}

/// A direct sum of n products errs by at most (n + 2) roundings of the sum of their magnitudes. Winograd's transforms
/// add and subtract the same products with factors, which enlarges errors some twenty times in the mean
/// (winograd_test.cpp) and mixes those of a tile: like sums of random signs they stay below six deviations of 20
/// roundings of the root of the largest sum of squares, and those of the sums over channels and tiles. Products of
/// repeated elements err alike instead, so that the sum of magnitudes takes the root's place (measured on 80 repeated
/// channels: 2263 roundings of the root, where 80 channels of their own have 101).
struct Bound {
  Bound(bool winograd, bool repeated, double terms, double unit, const Tensor& magnitude, const Tensor& squares)
      : by_winograd(winograd), count(terms), roundings(unit), magnitudes(elements(magnitude)) {
    if (repeated)
      for (const double v : magnitudes) energy = std::max(energy, v);
    else
      for (const double v : elements(squares)) energy = std::max(energy, std::sqrt(v));
  }
  double operator()(size_t i) const {
    const double direct = (count + 4) * roundings * magnitudes[i];
    return by_winograd ? direct + (120 + 2 * std::sqrt(count)) * roundings * energy : direct;
  }
  bool by_winograd;
  double count, roundings, energy = 0;
  std::vector<double> magnitudes;
};

/// What cuDNN rounds to bfloat16 beside bfloat16 activations, relatively: a bias, and the gradient of a weight.
double parameter_rounding(DType dtype) {
  return dtype == DType::bfloat16 && std::string_view(device::name()) == "cuda" ? roundoff(dtype) : 0;
}

Tensor squared(const Tensor& x) {
  if (!x.defined()) return x;
  Tensor out = blank(x.shape());
  ref::unary(UnaryOp::square, x, out);
  return out;
}

void conv_case(Draw& d) {
  const Geometry g = draw_geometry(d, d.one_in(4));
  const Algorithm algorithm(d.of({ConvAlgorithm::automatic, ConvAlgorithm::direct, ConvAlgorithm::winograd}));
  const bool winograd = may_be_winograd(g);
  const bool narrow = d.one_in(3);
  const DType dtype = narrow ? DType::bfloat16 : d.one_in(12) ? DType::float64 : DType::float32;
  const DType parameters = narrow ? DType::float32 : dtype;
  const double unit = arithmetic(dtype);
  const bool relu = d.one_in(2), with_bias = d.one_in(2);
  d.say("algorithm", static_cast<int>(conv_algorithm()), relu ? "relu" : "");
  if (d.one_in(8)) leave_nan_in_free_memory();
  const bool with_special = !winograd && d.one_in(8);
  const Place x = d.operand(g.x, dtype, "x", -1, 1,
                            with_special ? std::vector<double>{NAN, INFINITY, -INFINITY} : std::vector<double>());
  const Place w = d.operand(g.w, narrow && d.one_in(2) ? DType::bfloat16 : parameters, "w");
  const Place gy = d.operand(g.y, dtype, "gy");
  const Tensor bias = with_bias ? d.operand({g.w[0]}, parameters, "bias").view : Tensor();
  Tensor weight = wide(w.view);
  if (narrow) weight = wide(cast(w.view, dtype));  // rounded as it is read
  const double taps = static_cast<double>(g.w[2] * g.w[3]);
  const Tensor xs = wide(x.view), gys = wide(gy.view);
  {
    Place y = d.place(g.y, dtype, "y");
    Tensor right = blank(g.y), size = blank(g.y), squares = blank(g.y);
    ref::conv2d_forward(xs, weight, wide(bias), relu, g.spec, right);
    ref::conv2d_forward(magnitude(xs), magnitude(weight), magnitude(wide(bias)), false, g.spec, size);
    ref::conv2d_forward(squared(xs), squared(weight), {}, false, g.spec, squares);
    kernels::conv2d_forward(x.view, w.view, bias, relu, g.spec, y.view);
    const Bound bound(winograd, repeats(x.view) || repeats(w.view), taps * static_cast<double>(g.w[1]), unit, size,
                      squares);
    const double of_bias = with_bias ? parameter_rounding(dtype) : 0;  // of values up to 1
    d.check("y", y, elements(right), [&](size_t i) { return bound(i) + of_bias; });
  }
  {
    Place gx = d.place(g.x, dtype, "gx");
    Tensor right = blank(g.x), size = blank(g.x), squares = blank(g.x);
    ref::conv2d_grad_input(gys, weight, g.spec, right);
    ref::conv2d_grad_input(magnitude(gys), magnitude(weight), g.spec, size);
    ref::conv2d_grad_input(squared(gys), squared(weight), g.spec, squares);
    kernels::conv2d_grad_input(gy.view, w.view, g.spec, gx.view);
    const double terms = taps * static_cast<double>(g.w[0] / g.spec.groups);
    d.check("gx", gx, elements(right),
            Bound(winograd, repeats(gy.view) || repeats(w.view), terms, unit, size, squares));
  }
  if (with_special) return;
  Place gw = d.place(g.w, parameters, "gw");
  Tensor right = blank(g.w), size = blank(g.w), squares = blank(g.w);
  ref::conv2d_grad_weight(gys, xs, g.spec, right);
  ref::conv2d_grad_weight(magnitude(gys), magnitude(xs), g.spec, size);
  ref::conv2d_grad_weight(squared(gys), squared(xs), g.spec, squares);
  kernels::conv2d_grad_weight(gy.view, x.view, g.spec, gw.view);
  const double pixels = static_cast<double>(g.y[0] * g.y[2] * g.y[3]);
  const Bound bound(winograd, repeats(gy.view) || repeats(x.view), pixels, unit, size, squares);
  d.check("gw", gw, elements(right),
          [&, e = elements(right)](size_t i) { return bound(i) + parameter_rounding(dtype) * std::abs(e[i]); });
  // All gradients at once are those of one call each, to the bit, and so is what is repeated.
  const Place y = d.operand(g.y, dtype, "of relu");
  Tensor gz = Tensor::empty_like(y.view), gb = blank({g.w[0]}, parameters), gx2 = blank(g.x, dtype),
         gb2 = blank({g.w[0]}, parameters);
  Tensor gx = blank(g.x, dtype), one = blank(g.w, parameters), all = blank(g.w, parameters);
  kernels::bias_relu_backward(gy.view, y.view, gz, gb);
  kernels::conv2d_grad_input(gz, w.view, g.spec, gx);
  kernels::conv2d_grad_weight(gz, x.view, g.spec, one);
  kernels::conv2d_gradients(gy.view, y.view, x.view, w.view, g.spec, gx2, all, gb2);
  d.check_exact("gx at once", {gx2, gx2}, gx);
  d.check_exact("gw at once", {all, all}, one);
  d.check_exact("gbias at once", {gb2, gb2}, gb);
}

void transposed_case(Draw& d) {
  const Algorithm algorithm(d.of({ConvAlgorithm::automatic, ConvAlgorithm::direct}));
  const Geometry g = draw_geometry(d, d.one_in(6));
  const bool with_bias = d.one_in(2), winograd = may_be_winograd(g);
  ConvTranspose2dSpec spec{.groups = g.spec.groups};
  for (int i = 0; i < 2; ++i) {
    spec.stride[i] = g.spec.stride[i], spec.dilation[i] = g.spec.dilation[i];
    spec.padding[i] = g.spec.padding[i], spec.padding[2 + i] = g.spec.padding[2 + i];
    const int64_t reach = (g.y[2 + i] - 1) * spec.stride[i] - spec.padding[i] - spec.padding[2 + i] +
                          spec.dilation[i] * (g.w[2 + i] - 1) + 1;
    spec.output_padding[i] = g.x[2 + i] - reach;
  }
  const Place x = d.operand(g.y, DType::float32, "input"), w = d.operand(g.w, DType::float32, "w");
  const Tensor bias = with_bias ? d.operand({g.x[1]}, DType::float32, "bias").view : Tensor();
  const Tensor y = conv_transpose2d(x.view, w.view, bias, spec);
  if (!(y.shape() == g.x)) return d.fail("the shape is ", y.shape());
  Tensor right = blank(g.x), size = blank(g.x), squares = blank(g.x);
  ref::conv2d_grad_input(wide(x.view), wide(w.view), g.spec, right);
  ref::conv2d_grad_input(magnitude(wide(x.view)), magnitude(wide(w.view)), g.spec, size);
  ref::conv2d_grad_input(squared(wide(x.view)), squared(wide(w.view)), g.spec, squares);
  if (with_bias) {
    right = right + reshape(wide(bias), {g.x[1], 1, 1});
    size = size + reshape(magnitude(wide(bias)), {g.x[1], 1, 1});
  }
  const double terms = static_cast<double>(g.w[2] * g.w[3] * (g.w[0] / g.spec.groups));
  d.check("y", {y, y}, elements(right),
          Bound(winograd, repeats(x.view) || repeats(w.view), terms, 0x1p-24, size, squares));
}

/// gz and gbias of y = relu(z + bias).
void bias_relu_case(Draw& d) {
  const DType dtype = d.floating(), parameters = dtype == DType::bfloat16 ? DType::float32 : dtype;
  const Shape shape = d.shape(4, d.elements());
  const Place gy = d.operand(shape, dtype, "gy"), y = d.operand(shape, dtype, "y", -1, 1, {0.0, NAN});
  Place gz = d.place(shape, dtype, "gz"), gbias = d.place({shape[1]}, parameters, "gbias");
  Tensor right = blank(shape), sums = blank({shape[1]}), size = blank(shape), magnitudes = blank({shape[1]});
  kernels::bias_relu_backward(gy.view, y.view, gz.view, gbias.view);
  ref::bias_relu_backward(wide(gy.view), wide(y.view), right, sums);
  ref::bias_relu_backward(magnitude(wide(gy.view)), wide(y.view), size, magnitudes);
  d.check("gz", gz, right);
  // At most 32 float32 additions before a total goes on in float64.
  const double terms = dtype == DType::float64 ? static_cast<double>(numel(shape)) + 2 : 34;
  d.check("gbias", gbias, elements(sums),
          [&, m = elements(magnitudes)](size_t i) { return terms * arithmetic(dtype) * m[i]; });
}

void pool_case(Draw& d) {
  const DType dtype = d.floating();
  Shape shape = d.shape(4, d.elements(), false);
  Pool2dSpec spec{.count_padding = d.one_in(2)};
  for (int i = 0; i < 2; ++i) {
    spec.kernel[i] = d.whole(1, 5), spec.stride[i] = d.whole(1, 4);
    spec.padding[i] = d.whole(0, spec.kernel[i] - 1), spec.padding[2 + i] = d.whole(0, spec.kernel[i] - 1);
    shape[2 + i] =
        std::max(std::min<int64_t>(shape[2 + i], 40), spec.kernel[i] - spec.padding[i] - spec.padding[2 + i]);
  }
  Shape pooled = {shape[0], shape[1]};
  for (int i = 0; i < 2; ++i)
    pooled.push_back((shape[2 + i] + spec.padding[i] + spec.padding[2 + i] - spec.kernel[i]) / spec.stride[i] + 1);
  d.say("pool", spec.kernel[0], spec.kernel[1], "stride", spec.stride[0], spec.stride[1], "padding", spec.padding[0],
        spec.padding[1], spec.padding[2], spec.padding[3], spec.count_padding);
  // Few values, so that many are equal.
  const bool ties = d.one_in(2);
  Place x =
      d.operand(shape, dtype, "x", -1, 1, ties ? std::vector<double>{1.0, NAN, -INFINITY} : std::vector<double>());
  const Place gy = d.operand(pooled, dtype, "gy");
  const Tensor xs = wide(x.view), gys = wide(gy.view);
  Tensor right = blank(pooled), right_index = blank(pooled, DType::int64), right_gx = blank(shape), size = blank(shape);
  Place y = d.place(pooled, dtype, "y"), index = d.place(pooled, DType::int64, "index");
  kernels::max_pool2d_forward(x.view, spec, y.view, index.view);
  ref::max_pool2d_forward(xs, spec, right, right_index);
  d.check_exact("max", y, right);
  d.check_exact("index", index, right_index);
  const double unit = arithmetic(dtype), taps = static_cast<double>(spec.kernel[0] * spec.kernel[1]);
  Place gx = d.place(shape, dtype, "gx");
  const Place where = d.copy(right_index, "given index");
  kernels::max_pool2d_scatter(gy.view, where.view, gx.view);
  ref::max_pool2d_scatter(gys, right_index, right_gx);
  ref::max_pool2d_scatter(magnitude(gys), right_index, size);
  d.check("scattered", gx, elements(right_gx), [&, m = elements(size)](size_t i) { return taps * unit * m[i]; });
  Place gathered = d.place(pooled, dtype, "gathered");
  kernels::max_pool2d_gather(x.view, where.view, gathered.view);
  d.check_exact("gathered", gathered, right);
  Place mean = d.place(pooled, dtype, "mean"), shared = d.place(shape, dtype, "shared");
  Tensor sizes = blank(pooled);
  kernels::avg_pool2d_forward(x.view, spec, mean.view);
  ref::avg_pool2d_forward(xs, spec, right);
  ref::avg_pool2d_forward(magnitude(xs), spec, sizes);
  d.check("mean", mean, elements(right), [&, m = elements(sizes)](size_t i) { return (taps + 3) * unit * m[i]; });
  kernels::avg_pool2d_backward(gy.view, spec, shared.view);
  ref::avg_pool2d_backward(gys, spec, right_gx);
  ref::avg_pool2d_backward(magnitude(gys), spec, size);
  d.check("shared", shared, elements(right_gx), [&, m = elements(size)](size_t i) { return (taps + 3) * unit * m[i]; });
}

}  // namespace

TEST_CASE("random cases: convolution") {
  campaign("convolution", 2500, conv_case);
  campaign("transposed convolution", 500, transposed_case);
}

TEST_CASE("random cases: pooling and what stands before a convolution's bias") {
  campaign("bias and relu", 1000, bias_relu_case);
  campaign("pooling", 2000, pool_case);
}
