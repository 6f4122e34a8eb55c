// Public operations on tensors, without gradients: each checks its arguments, infers the shape of the result, allocates
// it, and calls one kernel. autograd/ops.h has the same vocabulary for differentiable variables. Errors: gradus::Error
// with a text that begins with the operation in brackets. There is no dtype promotion.
#pragma once

#include <initializer_list>
#include <optional>
#include <span>
#include <vector>

#include "core/crop.h"
#include "core/random.h"
#include "core/specs.h"
#include "core/tensor.h"

namespace gradus {

// ---- Elementwise: operands broadcast (NumPy's rule); dense memory order is kept ------------------------------------
Tensor neg(const Tensor& x);
Tensor abs(const Tensor& x);
Tensor sign(const Tensor& x);
Tensor exp(const Tensor& x);
Tensor log(const Tensor& x);
Tensor sqrt(const Tensor& x);
Tensor rsqrt(const Tensor& x);
Tensor reciprocal(const Tensor& x);
Tensor square(const Tensor& x);
Tensor sin(const Tensor& x);
Tensor cos(const Tensor& x);
Tensor erf(const Tensor& x);
Tensor tanh(const Tensor& x);
Tensor sigmoid(const Tensor& x);
Tensor softplus(const Tensor& x);
Tensor relu(const Tensor& x);
Tensor leaky_relu(const Tensor& x, double slope = 0.01);
Tensor gelu(const Tensor& x);
Tensor silu(const Tensor& x);
Tensor logical_not(const Tensor& x);

/// Any elementwise kernel, by name; the functions above and the operators and functions below are its spellings.
Tensor unary(UnaryOp op, const Tensor& x, double param = 0);
Tensor binary(BinaryOp op, const Tensor& a, const Tensor& b, double param = 0);
Tensor binary(BinaryOp op, const Tensor& a, double b);
Tensor binary(BinaryOp op, double a, const Tensor& b);

Tensor operator-(const Tensor& x);
Tensor operator+(const Tensor& a, const Tensor& b);
Tensor operator-(const Tensor& a, const Tensor& b);
Tensor operator*(const Tensor& a, const Tensor& b);
Tensor operator/(const Tensor& a, const Tensor& b);
Tensor operator+(const Tensor& a, double b);
Tensor operator-(const Tensor& a, double b);
Tensor operator*(const Tensor& a, double b);
Tensor operator/(const Tensor& a, double b);
Tensor operator+(double a, const Tensor& b);
Tensor operator-(double a, const Tensor& b);
Tensor operator*(double a, const Tensor& b);
Tensor operator/(double a, const Tensor& b);
Tensor pow(const Tensor& a, const Tensor& b);
Tensor pow(const Tensor& a, double b);
Tensor maximum(const Tensor& a, const Tensor& b);
Tensor minimum(const Tensor& a, const Tensor& b);
Tensor maximum(const Tensor& a, double b);
Tensor minimum(const Tensor& a, double b);
/// x limited to [low, high].
Tensor clamp(const Tensor& x, double low, double high);
/// Its gradient: gy where x is in [low, high] or NaN, else 0.
Tensor clamp_grad(const Tensor& gy, const Tensor& x, double low, double high);

// Comparisons give bool tensors. (No operator==, so that generic code cannot mistake it for identity.)
Tensor equal(const Tensor& a, const Tensor& b);
Tensor not_equal(const Tensor& a, const Tensor& b);
Tensor less(const Tensor& a, const Tensor& b);
Tensor less_equal(const Tensor& a, const Tensor& b);
Tensor greater(const Tensor& a, const Tensor& b);
Tensor greater_equal(const Tensor& a, const Tensor& b);
Tensor equal(const Tensor& a, double b);
Tensor not_equal(const Tensor& a, double b);
Tensor less(const Tensor& a, double b);
Tensor less_equal(const Tensor& a, double b);
Tensor greater(const Tensor& a, double b);
Tensor greater_equal(const Tensor& a, double b);
Tensor logical_and(const Tensor& a, const Tensor& b);
Tensor logical_or(const Tensor& a, const Tensor& b);
/// condition ? a : b, elementwise, all three broadcast.
Tensor where(const Tensor& condition, const Tensor& a, const Tensor& b);
Tensor where(const Tensor& condition, const Tensor& a, double b);
Tensor where(const Tensor& condition, double a, const Tensor& b);

// ---- Copies and views ----------------------------------------------------------------------------------------------
/// A copy with fresh dense memory in the same memory order.
Tensor clone(const Tensor& x);
/// x itself if it has that layout, else a copy.
Tensor contiguous(const Tensor& x, Layout layout = Layout::contiguous);
/// x itself if it has that dtype, else a converted copy.
Tensor cast(const Tensor& x, DType dtype);
/// A view where the strides allow it, else a copy, in row-major order. One extent may be -1.
Tensor reshape(const Tensor& x, Shape shape);
/// Merges dimensions [from, rank) into one.
Tensor flatten(const Tensor& x, int64_t from = 0);
Tensor transpose(const Tensor& x, int64_t a, int64_t b);
Tensor permute(const Tensor& x, const Dims& order);
/// A view of elements begin, begin+step, ... before end along dim. Negative positions count from the end; end past the
/// extent is clipped.
Tensor slice(const Tensor& x, int64_t dim, int64_t begin, int64_t end, int64_t step = 1);
/// A view with dim removed.
Tensor select(const Tensor& x, int64_t dim, int64_t position);
Tensor squeeze(const Tensor& x, int64_t dim);
Tensor unsqueeze(const Tensor& x, int64_t dim);
/// A view with stride 0 along broadcast dimensions.
Tensor expand(const Tensor& x, const Shape& shape);
Tensor concat(std::span<const Tensor> parts, int64_t dim);
Tensor stack(std::span<const Tensor> parts, int64_t dim);
inline Tensor concat(std::initializer_list<Tensor> parts, int64_t dim) { return concat(std::span(parts), dim); }
inline Tensor stack(std::initializer_list<Tensor> parts, int64_t dim) { return stack(std::span(parts), dim); }
/// concat() undone: views of these extents along dim, which add up to that of x.
std::vector<Tensor> split(const Tensor& x, const std::vector<int64_t>& extents, int64_t dim);
/// `count` views of one extent along dim.
std::vector<Tensor> chunk(const Tensor& x, int64_t count, int64_t dim);
/// stack() undone: select(x, dim, 0), select(x, dim, 1) and so on.
std::vector<Tensor> unbind(const Tensor& x, int64_t dim);
/// Adds before[i] and after[i] elements of `value` around dimension i; both lists have the rank of x.
Tensor pad(const Tensor& x, const Dims& before, const Dims& after, double value = 0);

// ---- Reductions: over `dims` (all if empty); keep_dims leaves extents of 1 -----------------------------------------
Tensor sum(const Tensor& x, const Dims& dims = {}, bool keep_dims = false);
Tensor mean(const Tensor& x, const Dims& dims = {}, bool keep_dims = false);
/// Of bfloat16 elements, in float32.
Tensor mean(const Tensor& x, const Dims& dims, bool keep_dims, DType dtype);
Tensor max(const Tensor& x, const Dims& dims = {}, bool keep_dims = false);
Tensor min(const Tensor& x, const Dims& dims = {}, bool keep_dims = false);
/// log(sum exp(x)), which neither overflows nor loses small terms.
Tensor logsumexp(const Tensor& x, const Dims& dims = {}, bool keep_dims = false);
/// Mean of the squared distances from the mean, divided by the number of elements: the biased one, as normalizations
/// take it.
Tensor variance(const Tensor& x, const Dims& dims = {}, bool keep_dims = false);
/// int64 indices of the first maximum along dim.
Tensor argmax(const Tensor& x, int64_t dim, bool keep_dims = false);
/// Sums x down to `shape`, undoing a broadcast.
Tensor sum_to(const Tensor& x, const Shape& shape);
/// sqrt(sum x^2), on the host.
double norm(const Tensor& x);
/// sum a*b, on the host.
double dot(const Tensor& a, const Tensor& b);
/// Whether every element is finite.
bool all_finite(const Tensor& x);
/// How many rows of logits [N, K] have their label [N], int64, as argmax() or, for a greater `top`, among the `top`
/// likeliest classes; on the host.
int64_t count_correct(const Tensor& logits, const Tensor& labels, int64_t top = 1);

// ---- Indexing ------------------------------------------------------------------------------------------------------
/// labels [...] int64 in [0, classes) -> [..., classes], 1 at the label and 0 elsewhere.
Tensor one_hot(const Tensor& labels, int64_t classes, DType dtype = DType::float32);
/// out[i][j] = x[index[i][j]][j] for dim 0, and so on: index has the rank of x, and its extents except at dim.
Tensor gather(const Tensor& x, int64_t dim, const Tensor& index);
/// Parts of x by their positions along dim, such as rows for dim 0: index is [n], and n takes the place of that extent.
Tensor index_select(const Tensor& x, int64_t dim, const Tensor& index);
/// Rows of weight [V, D] by their numbers: index [...] gives [..., D].
Tensor embedding(const Tensor& weight, const Tensor& index);
/// A copy of x with source added at index along dim: the inverse of gather, with an index of source's shape. Whole rows
/// are added by expand(unsqueeze(index, 1), source.shape()).
Tensor scatter_add(const Tensor& x, int64_t dim, const Tensor& index, const Tensor& source);

// ---- Images --------------------------------------------------------------------------------------------------------
/// Images of a data set that lies on the device as bytes: pixels [all, C, H, W] uint8, numbers [n] int64, which are not
/// checked, table [C, 256] float32: what each byte becomes. The result [n, C, H, W] is channels-last.
Tensor pick_images(const Tensor& pixels, const Tensor& numbers, const Tensor& table, const RandomCrop& crop = {});

// ---- Linear algebra ------------------------------------------------------------------------------------------------
/// [..., m, k] x [..., k, n] -> [..., m, n]; leading dimensions broadcast.
Tensor matmul(const Tensor& a, const Tensor& b);
/// With the result in `dtype`. Operands may be float32 and bfloat16: beside bfloat16, float32 is rounded to it, and the
/// result is summed in float32.
Tensor matmul(const Tensor& a, const Tensor& b, DType dtype);
/// a [m, k] times the squares of the elements of b [k, n], all of one dtype.
Tensor matmul_of_squares(const Tensor& a, const Tensor& b);

// ---- Convolution and pooling: NCHW logical, channels-last in memory ------------------------------------------------
// Activations may be bfloat16. Parameters are float32 then (a weight also bfloat16), and so are their gradients.
/// The shape of the output; throws where geometry and shapes do not fit.
Shape conv2d_shape(const Shape& x_shape, const Shape& w_shape, const Conv2dSpec& spec);
Tensor conv2d(const Tensor& x, const Tensor& w, const Tensor& bias, const Conv2dSpec& spec, bool relu = false);
Tensor conv2d_grad_input(const Tensor& gy, const Tensor& w, const Conv2dSpec& spec, const Shape& x_shape);
Tensor conv2d_grad_weight(const Tensor& gy, const Tensor& x, const Conv2dSpec& spec, const Shape& w_shape);
/// x [N, I, H, W], w [I, O/groups, kh, kw], optional bias [O] -> [N, O, H', W'] as large as an input of the convolution
/// from there to x can be: H' = (H - 1) stride - padding + dilation (kh - 1) + 1 + output_padding.
Tensor conv_transpose2d(const Tensor& x, const Tensor& w, const Tensor& bias, const ConvTranspose2dSpec& spec);
/// Gradients before a bias per channel and a relu, from the gradient of the result y [N, C, H, W] and y itself.
struct BiasReluGradients {
  Tensor gz, gbias;
};
BiasReluGradients bias_relu_backward(const Tensor& gy, const Tensor& y);
struct ConvGradients {
  Tensor input, weight, bias;
};
/// All gradients of y = relu(conv2d(x, w) + bias) at once or, where y is undefined, of conv2d(x, w), which has no bias.
ConvGradients conv2d_gradients(const Tensor& gy, const Tensor& y, const Tensor& x, const Tensor& w,
                               const Conv2dSpec& spec);
/// The same without the gradient of the input, which a first layer does not need.
ConvGradients conv2d_parameter_gradients(const Tensor& gy, const Tensor& y, const Tensor& x, const Conv2dSpec& spec,
                                         const Shape& w_shape);
struct MaxPooled {
  Tensor values, index;
};
MaxPooled max_pool2d(const Tensor& x, const Pool2dSpec& spec);
/// `index` is one that max_pool2d gave for an input of x's height and width; its values are not checked.
Tensor max_pool2d_scatter(const Tensor& gy, const Tensor& index, const Shape& x_shape);
Tensor max_pool2d_gather(const Tensor& x, const Tensor& index);
Tensor avg_pool2d(const Tensor& x, const Pool2dSpec& spec);
Tensor avg_pool2d_backward(const Tensor& gy, const Pool2dSpec& spec, const Shape& x_shape);

// ---- Normalization, softmax, dropout -------------------------------------------------------------------------------
struct Normalized {
  Tensor values, mean, rstd;
};
struct NormGradients {
  Tensor input, weight, bias;
};
/// x [N, C, ...], statistics per channel.
Normalized batch_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps);
Tensor batch_norm_apply(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& mean,
                        const Tensor& rstd);
NormGradients batch_norm_backward(const Tensor& gy, const Tensor& x, const Tensor& weight, const Tensor& mean,
                                  const Tensor& rstd);
/// x [rows, columns], statistics per row.
Normalized layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps);
NormGradients layer_norm_backward(const Tensor& gy, const Tensor& x, const Tensor& weight, const Tensor& mean,
                                  const Tensor& rstd);
/// x [N, C, ...], statistics per image and group of C / groups channels: mean and rstd are [N, groups].
Normalized group_norm(const Tensor& x, int64_t groups, const Tensor& weight, const Tensor& bias, double eps);
NormGradients group_norm_backward(const Tensor& gy, const Tensor& x, const Tensor& weight, const Tensor& mean,
                                  const Tensor& rstd);
Tensor softmax(const Tensor& x, int64_t dim);
Tensor log_softmax(const Tensor& x, int64_t dim);
Tensor softmax_backward(const Tensor& gy, const Tensor& y, int64_t dim, bool log);
struct CrossEntropy {
  Tensor losses, normalizers;
};
/// x [N, K], float32 or float64; labels [N], int64, whose values are not checked; see core/kernels.inc.
CrossEntropy cross_entropy(const Tensor& x, const Tensor& labels, double smoothing);
/// gy [N] or []; `share` is a factor.
Tensor cross_entropy_backward(const Tensor& gy, const Tensor& x, const Tensor& labels, const Tensor& normalizers,
                              double smoothing, double share);
/// Elements kept with probability 1 - p and scaled by 1 / (1 - p); the mask is a pure function of the key.
Tensor dropout(const Tensor& x, double p, const RandomKey& key);

// ---- In place: for optimizers and buffers; each bumps the version of the memory -------------------------------------
void fill_(Tensor& x, double value);
void copy_(Tensor& to, const Tensor& from);
/// y = alpha x + beta y
void axpby_(double alpha, const Tensor& x, double beta, Tensor& y);
void add_(Tensor& y, const Tensor& x, double alpha = 1);
void scale_(Tensor& y, double factor);
/// Adds source to y at index along dim, as scatter_add() does to a copy.
void scatter_add_(Tensor& y, int64_t dim, const Tensor& index, const Tensor& source);
/// y = y op x for any elementwise kernel.
void binary_(BinaryOp op, Tensor& y, const Tensor& x);
void unary_(UnaryOp op, Tensor& x);
/// The steps of many preconditioners' matrices at once.
void update_matrices_(std::span<const MatrixUpdate> matrices);
/// The steps of many parameters at once, and then of the matrices that learn from their correlations. Each parameter's
/// tensors have the shape, dtype and dense memory order of its value.
void update_(std::span<const ParameterUpdate> parameters, std::span<const MatrixUpdate> matrices = {});

}  // namespace gradus
