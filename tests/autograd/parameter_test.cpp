#include "autograd/parameter.h"

#include <doctest/doctest.h>

#include "autograd/curvature.h"
#include "autograd/ops.h"
#include "core/error.h"
#include "tests/autograd/slopes.h"

using namespace gradus;
using namespace gradus::testing;

namespace {

ParamInfo info(LayerKind layer, int64_t out, int64_t in, int64_t height, int64_t width) {
  return {"w", layer, ParamRole::weight, out, in, {height, width}};
}
const ParamInfo conv = info(LayerKind::conv, 2, 3, 1, 2);  // element o, i, p of the counting tensor is 6 o + 2 i + p
const ParamInfo dense = info(LayerKind::linear, 2, 3, 1, 1);

bool same_memory(const Tensor& a, const Tensor& b) { return a.storage() == b.storage(); }

}  // namespace

TEST_CASE("the columns of a spatial view are the kernel's positions") {
  const Tensor w = counting({2, 3, 1, 2}).value(), m = matrix_view(w, conv, MatrixSide::spatial);
  CHECK(m.shape() == Shape{6, 2});
  CHECK(m.to_vector<double>() == Values{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11});
  CHECK(same_memory(m, w));
}

TEST_CASE("the columns of an in view are the input channels") {
  const Tensor w = counting({2, 3, 1, 2}).value(), m = matrix_view(w, conv, MatrixSide::in);
  CHECK(m.shape() == Shape{4, 3});
  CHECK(m.to_vector<double>() == Values{0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11});
}

TEST_CASE("the columns of an out view are the output channels") {
  const Tensor w = counting({2, 3, 1, 2}).value(), m = matrix_view(w, conv, MatrixSide::out);
  CHECK(m.shape() == Shape{6, 2});
  CHECK(m.to_vector<double>() == Values{0, 6, 1, 7, 2, 8, 3, 9, 4, 10, 5, 11});
}

TEST_CASE("the views of a transposed convolution mix what those of a convolution do, though its inputs come first") {
  // Two groups of 2 inputs and 3 outputs: of the convolution's [6, 2, 1, 2], in each group, the first two are
  // exchanged.
  const ParamInfo straight{"w", LayerKind::conv, ParamRole::weight, 6, 2, {1, 2}, 2};
  ParamInfo turned = straight;
  turned.layer = LayerKind::conv_transpose;
  const Tensor w = counting({6, 2, 1, 2}).value();
  const Tensor t = reshape(contiguous(transpose(reshape(w, {2, 3, 2, 1, 2}), 1, 2)), {4, 3, 1, 2});
  for (MatrixSide side : {MatrixSide::in, MatrixSide::out}) {
    const Tensor expected = matrix_view(w, straight, side), got = matrix_view(t, turned, side);
    CHECK(got.shape() == expected.shape());
    CHECK(got.to_vector<double>() == expected.to_vector<double>());
  }
  const Tensor spatial = matrix_view(t, turned, MatrixSide::spatial);
  CHECK(spatial.shape() == Shape{12, 2});
  CHECK(spatial.to_vector<double>() == t.to_vector<double>());
  CHECK(same_memory(spatial, t));
  turned.role = ParamRole::bias;
  CHECK(matrix_view(counting({6}).value(), turned, MatrixSide::out).shape() == Shape{1, 6});
}

TEST_CASE("the views of a linear layer share its memory") {
  const Tensor w = counting({2, 3}).value();
  const Tensor spatial = matrix_view(w, dense, MatrixSide::spatial), in = matrix_view(w, dense, MatrixSide::in);
  CHECK(spatial.shape() == Shape{6, 1});
  CHECK(in.shape() == Shape{2, 3});
  CHECK(in.to_vector<double>() == w.to_vector<double>());
  CHECK(same_memory(spatial, w));
  CHECK(same_memory(in, w));
  CHECK(matrix_view(w, dense, MatrixSide::out).to_vector<double>() == Values{0, 3, 1, 4, 2, 5});
}

TEST_CASE("memory order does not matter to what a view holds") {
  const Tensor w = counting({2, 3, 1, 2}).value(), last = contiguous(w, Layout::channels_last);
  for (MatrixSide side : {MatrixSide::spatial, MatrixSide::in, MatrixSide::out})
    CHECK(matrix_view(last, conv, side).to_vector<double>() == matrix_view(w, conv, side).to_vector<double>());
}

TEST_CASE("a bias is one number per output") {
  const Tensor b = counting({3}).value();
  const ParamInfo bias = {"b", LayerKind::conv, ParamRole::bias, 3, 16, {5, 5}};
  CHECK(matrix_view(b, bias, MatrixSide::out).shape() == Shape{1, 3});
  CHECK(matrix_view(b, bias, MatrixSide::in).shape() == Shape{3, 1});
}

TEST_CASE("a tensor of another shape is refused by the parameter's name") {
  CHECK_THROWS_WITH_AS(matrix_view(counting({2, 4}).value(), dense, MatrixSide::in),
                       "[matrix_view] parameter 'w' has 2 outputs, 3 inputs and 1 positions, which a tensor [2,4] does "
                       "not hold",
                       Error);
  CHECK_THROWS_WITH_AS(matrix_view(Tensor(), dense, MatrixSide::in),
                       doctest::Contains("[matrix_view] the tensor for parameter 'w' is an undefined tensor"), Error);
}

TEST_CASE("parameters are differentiated as variables are, as a list or in a vector") {
  const std::vector<Parameter> both = {Parameter(counting({2, 3}).value(), dense),
                                       Parameter(counting({2, 3}).value() * 2.0, dense)};
  const auto loss = [&] { return sum(square(both[0]) * both[1]); };
  CHECK(grad(loss(), both).size() == 2);
  CHECK(grad(loss(), {both[0], both[1]})[1].value().to_vector<double>() == square(both[0].value()).to_vector<double>());
  CHECK(curvature(loss(), both)[1].to_vector<double>() == Values(6, 0.0));
  const Tensor exact = exact_curvature(loss(), both)[0];
  CHECK(exact.to_vector<double>() == (both[1].value() * 2.0).to_vector<double>());
  CHECK(monte_carlo_curvature(both[0] * 1.0, Likelihood::gaussian, both, {})[0].shape() == Shape{2, 3});
}

TEST_CASE("a renamed parameter is the same leaf") {
  const Parameter p(counting({2, 3}).value(), dense), q = p.renamed("layer1.w");
  CHECK(q.name() == "layer1.w");
  CHECK(p.name() == "w");
  sum(q).backward();
  CHECK(p.grad().to_vector<double>() == Values(6, 1.0));
}

TEST_CASE("a scale, and the bias of a transposed convolution, are one number per output") {
  const Tensor four = Tensor::from<double>({1, 2, 3, 4}, {4});
  const ParamInfo scale{"s", LayerKind::norm, ParamRole::scale, 4, 3};
  const ParamInfo bias{"b", LayerKind::conv_transpose, ParamRole::bias, 4, 3, {2, 2}};
  for (const ParamInfo& info : {scale, bias}) {
    CHECK(matrix_view(four, info, MatrixSide::in).shape() == Shape{4, 1});
    CHECK(matrix_view(four, info, MatrixSide::out).shape() == Shape{1, 4});
    CHECK(matrix_view(four, info, MatrixSide::out).to_vector<double>() == Values{1, 2, 3, 4});
  }
}
