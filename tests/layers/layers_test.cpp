// The layers one by one: geometry, what their parameters say they are, modes, and messages.
#include <doctest/doctest.h>

#include <cmath>

#include "layers/activation.h"
#include "layers/attention.h"
#include "layers/container.h"
#include "layers/conv.h"
#include "layers/dropout.h"
#include "layers/embedding.h"
#include "layers/init.h"
#include "layers/linear.h"
#include "layers/norm.h"
#include "layers/pool.h"
#include "layers/summary.h"
#include "tests/data/temporary_folder.h"

using namespace gradus;

namespace {

Shape output_shape(Module&& layer, const Shape& input) { return layer(Tensor::zeros(input)).shape(); }

}  // namespace

TEST_CASE("TensorFlow's padding gives ceil(input / stride) and puts the odd zero after") {
  const auto sums_to = [](Extent2d input, Extent2d kernel, Extent2d stride, Extent2d dilation, const Sides& wanted) {
    return Padding::same.resolve(input, kernel, stride, dilation) == wanted;
  };
  CHECK(sums_to({32, 32}, 3, 1, 1, {1, 1, 1, 1}));
  CHECK(sums_to({32, 31}, 3, 2, 1, {0, 1, 1, 1}));
  CHECK(sums_to({7, 8}, {2, 5}, 1, {1, 2}, {0, 4, 1, 4}));
  CHECK(sums_to({9, 9}, 1, 4, 1, {0, 0, 0, 0}));
  for (int64_t side = 1; side < 12; ++side)
    for (int64_t stride = 1; stride < 4; ++stride) {
      const int64_t wanted = (side + stride - 1) / stride;
      CHECK(output_shape(Conv2d(1, 2, {.kernel = 3, .stride = stride, .padding = Padding::same}), {1, 1, side, side}) ==
            Shape{1, 2, wanted, wanted});
    }
}

TEST_CASE("a convolution with TensorFlow's padding sees nothing before the first pixel of an even image") {
  Conv2d conv(1, 1, {.kernel = 3, .stride = 2, .padding = Padding::same, .bias = false});
  conv.load({{"weight", Tensor::from<float>({1, 2, 3, 4, 5, 6, 7, 8, 9}, {1, 1, 3, 3})}});
  const Var y = conv(Tensor::ones({1, 1, 4, 4}));
  // The second column of the output loses 3 + 6 + 9 to the zeros at the right, the second row 7 + 8 + 9 to those below.
  CHECK(y.value().to_vector<float>() == std::vector<float>{45, 27, 21, 12});
}

TEST_CASE("parameters say which layer they are of, and its extents") {
  const Conv2d conv(6, 8, {.kernel = {3, 5}, .groups = 2});
  const ParamInfo& weight = conv.weight().info();
  CHECK(weight.layer == LayerKind::conv);
  CHECK(weight.role == ParamRole::weight);
  CHECK(weight.out == 8);
  CHECK(weight.in == 3);
  CHECK(weight.kernel[0] == 3);
  CHECK(weight.kernel[1] == 5);
  CHECK(conv.bias().info().role == ParamRole::bias);
  const ConvTranspose2d turned(6, 8, {.kernel = {3, 5}, .groups = 2});
  for (const Parameter* p : {&turned.weight(), &turned.bias()}) {
    CHECK(p->info().layer == LayerKind::conv_transpose);
    CHECK(p->info().out == 8);
    CHECK(p->info().in == 3);
    CHECK(p->info().groups == 2);
  }
  CHECK(turned.weight().info().role == ParamRole::weight);
  CHECK(turned.weight().shape() == Shape{6, 4, 3, 5});
  CHECK(turned.bias().info().role == ParamRole::bias);
  CHECK(turned.bias().shape() == Shape{8});
  const Linear linear(5, 7);
  CHECK(linear.weight().info().layer == LayerKind::linear);
  CHECK(linear.weight().info().in == 5);
  CHECK(linear.weight().info().out == 7);
  const BatchNorm2d norm(4);
  CHECK(norm.parameters()[0].info().layer == LayerKind::norm);
  CHECK(norm.parameters()[0].info().role == ParamRole::scale);
  CHECK(norm.parameters()[1].info().role == ParamRole::bias);
  CHECK(LayerNorm(Shape{2, 3}).parameters()[0].info().out == 6);
}

TEST_CASE("a transposed convolution undoes the shape of a convolution, and says what it is") {
  ConvTranspose2d layer(4, 6, {.kernel = {3, 4}, .stride = 2, .padding = 1, .output_padding = {1, 0}, .bias = false});
  CHECK(output_shape(Conv2d(6, 4, {.kernel = {3, 4}, .stride = 2, .padding = 1}), {2, 6, 10, 14}) == Shape{2, 4, 5, 7});
  CHECK(layer(Tensor::zeros({2, 4, 5, 7})).shape() == Shape{2, 6, 10, 14});
  CHECK(layer.describe() == "ConvTranspose2d(4, 6, kernel 3x4, stride 2, padding 1, output_padding 1x0, no bias)");
  CHECK(layer.parameters().size() == 1);
  CHECK_FALSE(layer.bias().defined());
  // Each pixel of each channel is multiplied with what all outputs take from it.
  CHECK(layer.macs({2, 4, 5, 7}, {2, 6, 10, 14}) == 2 * 4 * 5 * 7 * 6 * 12);
  CHECK(ConvTranspose2d(4, 6, {.kernel = 3, .groups = 2}).macs({1, 4, 5, 5}, {1, 6, 7, 7}) == 100 * 3 * 9);
  const ConvTranspose2d grouped(4, 6, {.kernel = 3, .dilation = 2, .groups = 2, .activation = Activation::relu});
  CHECK(grouped.describe() == "ConvTranspose2d(4, 6, kernel 3, dilation 2, groups 2, relu)");
}

TEST_CASE("a transposed convolution that each pixel passes once copies its kernel into squares") {
  ConvTranspose2d layer(1, 1, {.kernel = 2, .stride = 2, .activation = Activation::relu});
  layer.load({{"weight", Tensor::from<float>({1, 2, 3, -4}, {1, 1, 2, 2})}, {"bias", Tensor::from<float>({1}, {1})}});
  const Var y = layer(Tensor::from<float>({1, 10}, {1, 1, 1, 2}));
  CHECK(contiguous(y.value()).to_vector<float>() == std::vector<float>{2, 3, 11, 21, 4, 0, 31, 0});
}

TEST_CASE("an activation inside a convolution equals one behind it") {
  for (Activation activation : {Activation::relu, Activation::tanh}) {
    Conv2d plain(2, 3, {.kernel = 3}), with(2, 3, {.kernel = 3, .activation = activation});
    with.load(plain.state());
    const Tensor x = random_normal({2, 2, 6, 6}, 0, 1, {1, 2, 3});
    CHECK(with(x).value().to_vector<float>() == activate(activation, plain(x)).value().to_vector<float>());
  }
}

TEST_CASE("SiLU is x times its sigmoid, as a layer and as a choice") {
  const Tensor x = Tensor::from<double>({-2, 0, 1.5}, {3});
  SiLU layer;
  for (const Var& y : {layer(x), activate(Activation::silu, x)})
    for (int64_t i = 0; i < 3; ++i) {
      const double v = select(x, 0, i).item();
      CHECK(select(y.value(), 0, i).item() == doctest::Approx(v / (1 + std::exp(-v))).epsilon(1e-14));
    }
  CHECK(layer.describe() == "SiLU");
}

TEST_CASE("activations are found by name, and a wrong name lists them") {
  CHECK(parse_activation("gelu") == Activation::gelu);
  CHECK(contains(error_of([] { parse_activation("rely"); }), "no activation is named \"rely\"; there are none, relu"));
}

TEST_CASE("evaluation uses running averages; momentum and plain mean follow PyTorch") {
  const Tensor a = Tensor::from<float>({1, 3}, {2, 1}), b = Tensor::from<float>({5, 9}, {2, 1});
  BatchNorm1d moving(1), plain(1, {.momentum = std::nullopt});
  for (const Tensor& x : {a, b}) {
    moving(x);
    plain(x);
  }
  // Means 2 and 7, unbiased variances 2 and 8, from mean 0 and variance 1.
  CHECK(moving.state().at("running_mean").item() == doctest::Approx(0.9 * 0.2 + 0.7));
  CHECK(moving.state().at("running_var").item() == doctest::Approx(0.9 * (0.9 + 0.2) + 0.8));
  CHECK(plain.state().at("running_mean").item() == doctest::Approx(4.5));
  CHECK(plain.state().at("running_var").item() == doctest::Approx(5));
  CHECK(plain.state().at("num_batches_tracked").item() == 2);
  plain.eval();
  CHECK(plain(a).value().to_vector<float>()[0] == doctest::Approx((1 - 4.5) / std::sqrt(5 + 1e-5)));
  CHECK(plain.state().at("num_batches_tracked").item() == 2);
}

TEST_CASE("batch norm without running averages normalizes by the batch in evaluation too") {
  BatchNorm1d norm(1, {.affine = false, .track_running_stats = false});
  norm.eval();
  CHECK(norm.state().empty());
  CHECK(norm(Tensor::from<float>({1, 3}, {2, 1})).value().to_vector<float>()[1] == doctest::Approx(1).epsilon(1e-4));
  const auto of_one = [&] { return error_of([&] { norm(Tensor::ones({1, 1})); }); };
  CHECK(of_one() ==
        "[BatchNorm1d] without running averages evaluation too needs more than one value per channel, got "
        "[1,1]");
  norm.train();
  CHECK(of_one() == "[BatchNorm1d] training needs more than one value per channel, got [1,1]");
}

TEST_CASE("dropout keeps the mean in training and is the identity in evaluation") {
  Dropout drop(0.25);
  const Tensor x = Tensor::ones({100'000});
  double sum = 0;
  bool zero_or_scaled = true;
  for (float v : drop(x).value().to_vector<float>()) {
    zero_or_scaled = zero_or_scaled && (v == 0 || v == doctest::Approx(1 / 0.75));
    sum += v;
  }
  CHECK(zero_or_scaled);
  // One standard error of the mean is sqrt(p / (1 - p) / n) = 0.0018.
  CHECK(std::abs(sum / 1e5 - 1) < 5 * 0.00183);
  drop.eval();
  CHECK(drop(x).value().to_vector<float>() == x.to_vector<float>());
}

TEST_CASE("pooling layers have the shapes of their windows") {
  CHECK(output_shape(MaxPool2d(), {1, 2, 7, 9}) == Shape{1, 2, 3, 4});
  CHECK(output_shape(MaxPool2d({.kernel = 3, .stride = 2, .padding = 1}), {1, 2, 112, 112}) == Shape{1, 2, 56, 56});
  CHECK(output_shape(AvgPool2d({.kernel = 3, .stride = 2, .padding = Padding::same}), {1, 2, 7, 8}) ==
        Shape{1, 2, 4, 4});
  CHECK(output_shape(GlobalAvgPool2d(), {3, 2, 7, 9}) == Shape{3, 2});
}

TEST_CASE("pooling layers describe their windows") {
  CHECK(MaxPool2d().describe() == "MaxPool2d(kernel 2, stride 2)");
  CHECK(AvgPool2d({.kernel = 3, .stride = Extent2d(1), .padding = 1}).describe() ==
        "AvgPool2d(kernel 3, stride 1, padding 1)");
}

TEST_CASE("an average that leaves padding out keeps a constant image constant") {
  AvgPool2d pool({.kernel = 3, .stride = 1, .padding = 1, .count_padding = false});
  for (float v : pool(Tensor::ones({1, 1, 4, 4})).value().to_vector<float>()) CHECK(v == doctest::Approx(1));
}

TEST_CASE("upsampling repeats pixels exactly, and keeps channels last") {
  const Tensor x = Tensor::from<float>({0.1f, 0.2f, 0.3f, 0.7f}, {1, 2, 1, 2});
  const Var y = UpsampleNearest2d(3)(x);
  CHECK(y.shape() == Shape{1, 2, 3, 6});
  CHECK(y.value().is_channels_last());
  const std::vector<float> got = contiguous(y.value()).to_vector<float>();
  for (size_t i = 0; i < got.size(); ++i) CHECK(got[i] == x.to_vector<float>()[i / 18 * 2 + i % 6 / 3]);
}

TEST_CASE("an embedding gives rows by number, and says what its weight is") {
  Embedding table(3, 2);
  table.load({{"weight", Tensor::from<float>({1, 2, 3, 4, 5, 6}, {3, 2})}});
  const Var rows = table(Tensor::from<int64_t>({2, 0, 2, 1}, {2, 2}));
  CHECK(rows.shape() == Shape{2, 2, 2});
  CHECK(rows.value().to_vector<float>() == std::vector<float>{5, 6, 1, 2, 5, 6, 3, 4});
  sum(rows).backward();
  CHECK(table.weight().grad().to_vector<float>() == std::vector<float>{1, 1, 1, 1, 2, 2});
  CHECK(table.weight().info().layer == LayerKind::embedding);
  CHECK_THROWS_WITH_AS(table(Tensor::from<int64_t>({1, 9, 0, 2}, {2, 2})),
                       "[embedding] index 9 at [0,1] lies outside [0, 3)", Error);
}

TEST_CASE("a causal position sees itself and what was before it, a plain one everything") {
  const Tensor x = random_normal({2, 5, 6}, 0, 1, {.seed = 3});
  Tensor changed = clone(x);
  Tensor fourth = slice(changed, 1, 3, 4);
  fill_(fourth, 2);
  for (const bool causal : {false, true}) {
    SelfAttention layer(6, {.heads = 2, .causal = causal});
    const std::vector<float> before = layer(x).value().to_vector<float>();
    const std::vector<float> after = layer(changed).value().to_vector<float>();
    REQUIRE(before.size() == 2 * 5 * 6);
    for (size_t i = 0; i < before.size(); ++i) {
      CAPTURE(i);
      CHECK((before[i] == after[i]) == (causal && i / 6 % 5 < 3));
    }
  }
  SelfAttention layer(6, {.heads = 2, .causal = true});
  CHECK(layer.describe() == "SelfAttention(6, heads 2, causal)");
  CHECK(layer.parameters()[0].name() == "in_proj_weight");
  CHECK(layer.parameters()[3].name() == "out_proj.bias");
  CHECK(layer.parameters()[0].info().out == 18);
  // Of 10 positions 3 times 6 x 6, and twice 5 x 6 for each; the child counts its own 6 x 6.
  CHECK(layer.macs({2, 5, 6}, {2, 5, 6}) == 10 * (3 * 36 + 2 * 30));
  CHECK(contains(
      error_of([] { SelfAttention(6, {.heads = 4}); }),
      "[SelfAttention] expects a number of features that the number of heads divides, got 6 features and 4 heads"));
  CHECK(contains(error_of([&] { layer(Tensor::ones({5, 6})); }), "[SelfAttention] takes [N, T, 6], got [5,6]"));
}

TEST_CASE("a residual adds its shortcut, the identity by default, before its activation") {
  Sequential zero;
  Linear& linear = zero.add(Linear(3, 3));
  linear.load({{"weight", Tensor::zeros({3, 3})}, {"bias", Tensor::from<float>({-2, 0, 2}, {3})}});
  Residual residual(std::move(zero), Activation::relu);
  CHECK(residual(Tensor::ones({1, 3})).value().to_vector<float>() == std::vector<float>{0, 1, 3});
  CHECK(residual.parameters()[0].name() == "body.0.weight");
  Residual wrong{Linear(3, 4)};
  CHECK(contains(error_of([&] { wrong(Tensor::ones({1, 3})); }), "the body gives [1,4], but the shortcut gives [1,3]"));
  Residual projected(Linear(3, 4), Linear(3, 4));
  CHECK(projected(Tensor::ones({1, 3})).shape() == Shape{1, 4});
}

TEST_CASE("a sequence names its layers by number unless they are named") {
  Sequential net(Linear(2, 3), ReLU());
  net.add("head", Linear(3, 1));
  CHECK(net.parameters().back().name() == "head.bias");
  CHECK(net(Tensor::ones({4, 2})).shape() == Shape{4, 1});
  Sequential empty;
  CHECK(empty(Tensor::ones({2})).value().to_vector<float>() == std::vector<float>{1, 1});
}

TEST_CASE("inputs and options that do not fit are named") {
  Conv2d conv(3, 8, {.kernel = 3});
  CHECK(contains(error_of([&] { conv(Tensor::ones({1, 4, 8, 8})); }), "takes [N,3,H,W], got [1,4,8,8]"));
  CHECK(contains(error_of([&] {
                   conv(Tensor::ones({3, 8, 8}));
                 }),
                 "A single image is a batch of one: unsqueeze(x, 0)"));
  CHECK(contains(error_of([&] { conv(Tensor::ones({1, 8, 8, 3})); }), "permute(x, {0, 3, 1, 2})"));
  Linear linear(12, 2);
  CHECK(contains(error_of([&] { linear(Tensor::ones({1, 3, 2, 2})); }), "Is a Flatten missing?"));
  BatchNorm2d norm(3);
  CHECK(contains(error_of([&] { norm(Tensor::ones({2, 4, 2, 2})); }), "normalizes 3 channels"));
  CHECK(contains(error_of([&] { norm(Tensor::ones({1, 3, 1, 1})); }), "more than one value per channel"));
  CHECK(contains(error_of([&] { norm(Tensor::ones({1, 3, 1, 1})); }), "After eval() the running averages"));
  BatchNorm1d rows(3);
  CHECK(error_of([&] {
          rows(Tensor::ones({2, 3, 8, 8}));
        }) == "[BatchNorm1d] the layer takes [N,3] or [N,3,L], got [2,3,8,8]");
  CHECK(contains(error_of([] { Conv2d(3, 8, {.kernel = 3, .stride = 0}); }), "must be positive"));
  CHECK(contains(error_of([] { Conv2d(3, 8, {.groups = 2}); }), "2 groups do not divide 3 input"));
  ConvTranspose2d turned(3, 8, {.kernel = 3});
  CHECK(error_of([&] {
          turned(Tensor::ones({1, 4, 8, 8}));
        }) == "[conv_transpose2d] the layer takes [N,3,H,W], got [1,4,8,8]. Was it built as ConvTranspose2d(4, ...)?");
  CHECK(contains(error_of([] { ConvTranspose2d(3, 8, {.kernel = 0}); }), "[ConvTranspose2d] channels, kernel"));
  CHECK(
      contains(error_of([] { ConvTranspose2d(4, 7, {.groups = 2}); }), "2 groups do not divide 4 input and 7 output"));
  CHECK(error_of([] { ConvTranspose2d(3, 8, {.padding = Padding::same}); }) ==
        "[ConvTranspose2d] Padding::same has no meaning here; give the padding in numbers");
  CHECK(error_of([] {
          ConvTranspose2d(3, 8, {.stride = {2, 3}, .output_padding = {1, 3}});
        }) == "[ConvTranspose2d] output_padding must be at least 0 and less than the stride 2x3, got 1x3");
  CHECK(contains(error_of([] { ConvTranspose2d(3, 8, {.output_padding = -1}); }), "got -1"));
  CHECK(contains(error_of([] { Linear(0, 8); }), "must be positive"));
  CHECK(contains(error_of([] { GroupNorm(3, 8); }), "3 groups do not divide 8 channels"));
  CHECK(contains(error_of([] { Dropout(1); }), "must be in [0, 1)"));
  CHECK(contains(error_of([] { Embedding(0, 4); }), "must be positive"));
  CHECK(contains(error_of([] { Embedding(4, 0); }), "must be positive"));
  CHECK(contains(error_of([] { Conv2d(3, 8, {.kernel = 3, .dilation = {1, 0}}); }), "dilation must be positive"));
  CHECK(contains(error_of([] { ConvTranspose2d(3, 8, {.output_padding = {-1, 0}}); }), "got -1x0"));
  CHECK(contains(error_of([] { Embedding(3, 4)(Tensor::ones({2})); }), "needs int64"));
  CHECK(contains(error_of([] { UpsampleNearest2d(0); }), "must be positive"));
  CHECK(contains(error_of([] { MaxPool2d({.kernel = 0}); }), "must be positive"));
  CHECK(contains(error_of([] { AvgPool2d({.stride = Extent2d(1, 0)}); }), "must be positive"));
  CHECK(contains(error_of([] { LayerNorm(Shape{}); }), "must have elements"));
  CHECK(contains(error_of([] { LayerNorm(Shape{2, 0}); }), "must have elements"));
  const double nan = std::nan("");
  for (double eps : {-1e-5, HUGE_VAL, nan}) {
    CHECK(
        contains(error_of([&] { BatchNorm1d(8, {.eps = eps}); }), "[BatchNorm1d] eps must be finite and not negative"));
    CHECK(contains(error_of([&] { LayerNorm(8, {.eps = eps}); }), "[LayerNorm] eps must be finite"));
    CHECK(contains(error_of([&] { GroupNorm(2, 8, {.eps = eps}); }), "[GroupNorm] eps must be finite"));
  }
  for (double momentum : {-0.1, 1.1, nan})
    CHECK(contains(error_of([&] { BatchNorm2d(8, {.momentum = momentum}); }),
                   "[BatchNorm2d] momentum must be in [0, 1], got "));
  CHECK(contains(error_of([&] { LeakyReLU{nan}; }), "[LeakyReLU] slope must be finite, got nan"));
  CHECK(contains(error_of([] { MaxPool2d()(Tensor::ones({2, 2})); }), "takes [N,C,H,W]"));
}

TEST_CASE("an undefined input is called that by the layer that gets it") {
  const auto said = [](auto layer) {
    return contains(error_of([&] { layer(Var()); }), "the input is an undefined tensor");
  };
  CHECK(said(Linear(2, 2)));
  CHECK(said(SelfAttention(2)));
  CHECK(said(Conv2d(3, 8, {.kernel = 3})));
  CHECK(said(ConvTranspose2d(3, 8, {.kernel = 3})));
  CHECK(said(BatchNorm2d(3)));
  CHECK(said(GroupNorm(1, 3)));
  CHECK(said(LayerNorm(3)));
  CHECK(said(MaxPool2d()));
  CHECK(said(AvgPool2d()));
  CHECK(said(GlobalAvgPool2d()));
}

TEST_CASE("a summary counts parameters once and multiplications in every call, and changes nothing") {
  class Twice : public Module {
   public:
    Twice() : conv_(child("conv", Conv2d(2, 2, {.kernel = 3, .padding = 1}))), norm_(child("norm", BatchNorm2d(2))) {}
    Var forward(const Var& x) override { return norm_(conv_(conv_(x))); }

   private:
    Module &conv_, &norm_;
  } net;
  const Summary s = summary(net, {1, 2, 4, 5});
  REQUIRE(s.layers.size() == 3);
  CHECK(s.layers[0].name == "conv");
  CHECK(s.layers[0].output == Shape{1, 2, 4, 5});
  CHECK(s.layers[0].macs == 2 * 4 * 5 * 2 * 9);
  CHECK(s.layers[1].parameters == 0);
  CHECK(s.macs == 2 * 720);
  CHECK(s.parameters == 38 + 4);
  CHECK(net.training());
  CHECK(net.state().at("norm.num_batches_tracked").item() == 0);
  const std::string table = text(s);
  CHECK(contains(table, "Conv2d(2, 2, kernel 3, padding 1)"));
  CHECK(contains(table, "1,440"));
}

TEST_CASE("a summary takes an input of any dtype, as models of tokens and of float64 want it") {
  Sequential tokens(Embedding(50, 4), SelfAttention(4), Linear(4, 50));
  const Summary s = summary(tokens, Tensor::zeros({1, 6}, DType::int64));
  CHECK(s.input == Shape{1, 6});
  CHECK(s.parameters == 200 + 64 + 16 + 250);
  CHECK(s.layers.back().output == Shape{1, 6, 50});
  const DefaultDType scope(DType::float64);
  Linear exact(4, 3);
  CHECK(summary(exact, Tensor::zeros({2, 4}, DType::float64)).macs == 24);
  CHECK_THROWS_WITH_AS(summary(exact, Tensor()), doctest::Contains("[summary] the input is an undefined tensor"),
                       Error);
}

TEST_CASE("a grouped convolution multiplies each output with the inputs of its group") {
  Conv2d conv(4, 6, {.kernel = {3, 1}, .groups = 2});
  CHECK(summary(conv, {1, 4, 5, 5}).macs == 6 * 3 * 5 * 2 * 3);
}

TEST_CASE("a summary groups digits by three, and shows a module with children that has parameters of its own") {
  class Scaled : public Module {
   public:
    Scaled() : scale_(parameter("scale", Tensor::ones({1}))), body_(child("body", Linear(400, 250, {.bias = false}))) {}
    Var forward(const Var& x) override { return body_(x) * scale_; }

   private:
    Parameter scale_;
    Linear& body_;
  } net;
  const Summary s = summary(net, {1, 400});
  REQUIRE(s.layers.size() == 2);
  CHECK(s.layers[0].name == "body");
  CHECK(s.layers[1].name == "");
  CHECK(s.layers[1].parameters == 1);
  CHECK(contains(text(s), " 100,001 "));
  CHECK_FALSE(contains(text(s), ",100,"));
}

TEST_CASE("an embedding starts from the standard normal distribution, and self-attention without biases") {
  manual_seed(3);
  const Embedding table(100, 50);
  const std::vector<float> values = table.parameters()[0].value().to_vector<float>();
  double sum = 0, squares = 0;
  for (const double v : values) sum += v, squares += v * v;
  // of 5000 draws: five standard errors, 1 / sqrt(5000) of the mean and sqrt(2 / 5000) of the variance
  CHECK(std::abs(sum / 5000) < 5 * 0.01415);
  CHECK(std::abs(squares / 5000 - 1) < 5 * 0.02);
  const SelfAttention attention(8, {.heads = 2});
  const StateDict state = attention.state();
  for (const char* bias : {"in_proj_bias", "out_proj.bias"})
    CHECK(state.at(bias).to_vector<float>() == std::vector<float>(static_cast<size_t>(state.at(bias).numel()), 0));
}

TEST_CASE("layers show their inputs to observers of their weights in training only") {
  struct Count final : InputObserver {
    void see(const Tensor& input) override {
      ++calls;
      last = input;
    }
    int calls = 0;
    Tensor last;
  };
  const auto check = [](Module& layer, const Tensor& x) {
    CAPTURE(layer.describe());
    const auto count = std::make_shared<Count>();
    layer.parameters()[0].observe_input(count);
    layer(x);
    CHECK(count->calls == 1);
    CHECK(count->last.shape() == x.shape());
    layer.eval();
    layer(x);
    CHECK(count->calls == 1);
  };
  Linear dense(3, 2);
  Conv2d conv(3, 2, {.kernel = 1});
  ConvTranspose2d turned(3, 2, {.kernel = 1});
  SelfAttention attention(3);
  check(dense, Tensor::ones({4, 3}));
  check(conv, Tensor::ones({1, 3, 2, 2}));
  check(turned, Tensor::ones({1, 3, 2, 2}));
  check(attention, Tensor::ones({1, 2, 3}));
}
