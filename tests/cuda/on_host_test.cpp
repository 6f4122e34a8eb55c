// The GPU's kernels by loops on the host: that they are the ones in use, that no result depends on the order in which
// threads run, and what only they do.
#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <functional>
#include <thread>

#include "autograd/ops.h"
#include "autograd/parameter.h"
#include "core/accelerator.h"
#include "core/cuda/launch.h"
#include "core/cuda/plain_conv.h"
#include "core/cuda/reduction.h"
#include "core/cuda/side_stream.h"
#include "core/error.h"
#include "core/ops.h"
#include "core/step_graph.h"
#include "data/loader.h"
#include "optim/optimizer.h"
#include "tests/core/cpu_compare.h"

using namespace gradus;
using namespace gradus::testing;

extern "C" int64_t gradus_cuda_on_host_launches();
extern "C" void gradus_cuda_on_host_reverse(bool reversed);

TEST_CASE("operations run the GPU's kernels here") {
  const int64_t before = gradus_cuda_on_host_launches();
  const Tensor sum = random({100}, 1) + random({100}, 2);
  CHECK(gradus_cuda_on_host_launches() == before + 1);
  CHECK(sum.numel() == 100);
}

namespace {

std::vector<Tensor> results_of_every_kernel() {
  const Tensor x = contiguous(random({4, 24, 9, 10}, 1), Layout::channels_last), tall = random({3000, 40}, 2);
  const Tensor w = random({16, 24, 3, 3}, 3), bias = random({16}, 4), weight = random({24}, 5), gain = random({40}, 6);
  const Conv2dSpec spec{.padding = {1, 1, 1, 1}};
  const Tensor y = conv2d(x, w, bias, spec, true), gy = random(y.shape(), 7);
  std::vector<Tensor> all = {y, conv2d_grad_input(gy, w, spec, x.shape()), conv2d_grad_weight(gy, x, spec, w.shape())};
  const BiasReluGradients masked = bias_relu_backward(gy, y);
  all.insert(all.end(), {masked.gz, masked.gbias, sum(x), sum(x, {0, 2, 3}), sum(tall, {0}), sum(tall, {1}), max(tall),
                         cast(argmax(tall, 0), DType::float32), cast(argmax(tall, 1), DType::float32), softmax(tall, 1),
                         softmax(tall, 0), log_softmax(x, 1), contiguous(x), transpose(tall, 0, 1),
                         clone(transpose(tall, 0, 1)), dropout(x, 0.3, {1, 2, 3})});
  const Normalized batch = batch_norm(x, weight, weight, 1e-5), layer = layer_norm(tall, gain, gain, 1e-5);
  const NormGradients back = batch_norm_backward(x, x, weight, batch.mean, batch.rstd);
  const NormGradients rows = layer_norm_backward(tall, tall, gain, layer.mean, layer.rstd);
  all.insert(all.end(), {batch.values, batch.mean, batch.rstd, layer.values, layer.mean, layer.rstd, back.input,
                         back.weight, back.bias, rows.input, rows.weight, rows.bias});
  const MaxPooled pooled = max_pool2d(x, {.kernel = {3, 3}, .stride = {2, 2}, .padding = {1, 1, 1, 1}});
  all.insert(all.end(), {pooled.values, max_pool2d_scatter(pooled.values, pooled.index, x.shape()),
                         max_pool2d_gather(x, pooled.index), avg_pool2d(x, {.kernel = {2, 2}, .stride = {2, 2}}),
                         matmul(tall, transpose(tall, 0, 1))});
  for (const Layout layout : {Layout::contiguous, Layout::channels_last}) {
    for (const Shape& shape : {Shape{4, 24, 9, 10}, Shape{4, 24, 4, 10}}) {  // the second in patches of four pixels
      const Tensor images = contiguous(random(shape, 10), layout), slope = contiguous(random(shape, 11), layout);
      for (const int64_t groups : {1, 6, 24}) {
        const Normalized some = group_norm(images, groups, weight, weight, 1e-5);
        const NormGradients g = group_norm_backward(slope, images, weight, some.mean, some.rstd);
        all.insert(all.end(), {some.values, some.mean, some.rstd, g.input, g.weight, g.bias});
      }
      const Normalized some = batch_norm(images, weight, weight, 1e-5);
      const NormGradients g = batch_norm_backward(slope, images, weight, some.mean, some.rstd);
      all.insert(all.end(), {some.values, g.input, g.weight, g.bias});
      all.push_back(dropout(images, 0.3, {1, 2, 3}));
      all.push_back(dropout(cast(images, DType::bfloat16), 0.3, {1, 2, 3}));
    }
  }
  std::vector<int64_t> classes;
  for (int64_t i = 0; i < tall.size(0); ++i) classes.push_back(i * 7 % tall.size(1));
  const Tensor labels = Tensor::from(classes, {tall.size(0)});
  for (const double smoothing : {0.0, 0.1}) {
    const CrossEntropy loss = cross_entropy(tall, labels, smoothing);
    all.insert(all.end(), {loss.losses, loss.normalizers,
                           cross_entropy_backward(loss.losses, tall, labels, loss.normalizers, smoothing, 0.5)});
  }
  all.insert(all.end(),
             {logsumexp(tall, {0}), logsumexp(tall, {1}), softmax_backward(tall, softmax(tall, 1), 1, false),
              avg_pool2d_backward(random({4, 24, 5, 5}, 12),
                                  {.kernel = {3, 3}, .stride = {2, 2}, .padding = {1, 1, 1, 1}}, x.shape())});
  const Parameter table(random({40, 8}, 13), {.name = "table"});
  sum(square(embedding(table, labels))).backward();
  all.push_back(table.grad());
  const Tensor index = Tensor::from<int64_t>({2, 0, 2}, {3, 1});
  const Tensor lines = expand(index, {3, 40});
  std::vector<uint8_t> bytes;
  for (int i = 0; i < 3 * 300; ++i) bytes.push_back(static_cast<uint8_t>(i * 37));
  all.push_back(
      pick_images(Tensor::from(bytes, {3, 3, 10, 10}), reshape(index, {3}), random({3, 256}, 9), {.padding = 4}));
  all.push_back(scatter_add(slice(tall, 0, 0, 5), 0, contiguous(lines), slice(tall, 0, 5, 8)));
  return all;
}

/// Equal values from threads and blocks in the usual order and in the reverse.
void check_independent_of_order(const std::function<std::vector<Tensor>()>& results) {
  const auto values = [&](bool reversed) {
    gradus_cuda_on_host_reverse(reversed);
    std::vector<std::vector<double>> all;
    for (const Tensor& x : results()) all.push_back(cast(contiguous(x), DType::float64).to_vector<double>());
    gradus_cuda_on_host_reverse(false);
    return all;
  };
  const auto forward = values(false), backward = values(true);
  REQUIRE(forward.size() == backward.size());
  for (size_t i = 0; i < forward.size(); ++i) {
    CAPTURE(i);
    CHECK(forward[i] == backward[i]);
  }
}

}  // namespace

TEST_CASE("no kernel's result depends on the order of threads and blocks: there are no races") {
  check_independent_of_order(results_of_every_kernel);
}

TEST_CASE("a GPU keeps a data set and makes a batch of it by one kernel") {
  const DatasetInfo info{.name = "x", .channels = 3, .height = 8, .width = 8, .class_names = {"a"}};
  const Dataset data(info, std::vector<uint8_t>(40 * 192), std::vector<int32_t>(40));
  const Loader loader(data, {.batch = 16, .augment = Augment::standard, .workers = 2});
  auto epoch = loader.epoch(0);
  for (int batch = 0; batch < 3; ++batch) {
    const int64_t before = gradus_cuda_on_host_launches();
    CHECK(epoch.next());
    CHECK(gradus_cuda_on_host_launches() == before + 1);
  }
}

namespace {

std::vector<Parameter> kernels_of_nine(int64_t layers) {
  std::vector<Parameter> parameters;
  for (int64_t i = 0; i < layers; ++i) {
    const Shape shape{8, 4, 3, 3};
    ParamInfo info{.name = "conv" + std::to_string(i), .layer = LayerKind::conv, .role = ParamRole::weight};
    info.out = 8, info.in = 4, info.kernel[0] = info.kernel[1] = 3;
    parameters.emplace_back(random(shape, static_cast<uint64_t>(i)), info);
  }
  return parameters;
}

/// How many kernels start in a step on random gradients.
int64_t launches_of_step(const std::vector<Parameter>& parameters, optim::Optimizer& optimizer) {
  for (const Parameter& parameter : parameters)
    parameter.set_grad(random(parameter.shape(), static_cast<uint64_t>(optimizer.steps())));
  const int64_t before = gradus_cuda_on_host_launches();
  optimizer.step();
  return gradus_cuda_on_host_launches() - before;
}

/// All that an update writes, for every kind of rule and P, of several tiles.
std::vector<Tensor> results_of_every_update(DType dtype) {
  using Kind = RuleUpdate::Kind;
  enum class P { none, rows, diagonal };
  std::vector<Tensor> all;
  const auto run = [&](int64_t n, P p, Kind kind, bool apart, bool remembers = true) {
    uint64_t seed = 0;
    const auto fresh = [&](const Shape& shape) { return all.emplace_back(cast(random(shape, ++seed), dtype)); };
    const Shape shape{int64_t{4000} / n + 1, n};
    Tensor value = fresh(shape), gradient = fresh(shape), first = fresh(shape), second = abs(fresh(shape)),
           kept = fresh(shape), previous = fresh(shape), matrix = fresh({n, n}), correlation = fresh({n, n}),
           diagonal = fresh(shape), hyper = fresh(shape), h = fresh(shape), correlated = fresh(shape);
    all.push_back(second);
    ParameterUpdate update{.value = &value,
                           .gradient = &gradient,
                           .factor = 0.5,
                           .limit = 0.375,
                           .decay = 0.25,
                           .late_decay = 0.125,
                           .kept = &kept,
                           .previous = &previous};
    update.rule = {.kind = kind, .lr = 0.5, .decay = 0.25, .momentum = 0.75};
    if (kind != Kind::plain && remembers) update.rule.first = &first;
    if (kind == Kind::adam || kind == Kind::curvature || kind == Kind::squares) update.rule.second = &second;
    if (kind == Kind::curvature) update.rule.curvature = &h;
    if (apart) update.correlated = &correlated;
    if (p == P::rows) {
      update.p = &matrix;
      update.correlation = &correlation;
    } else if (p == P::diagonal) {
      update.diagonal = &diagonal;
      update.hyper_factor = -0.5;
      update.hyper = {.kind = Kind::momentum, .lr = 0.5, .momentum = 0.5, .first = &hyper};
    }
    kernels::update({&update, 1}, {});
  };
  for (const P p : {P::none, P::rows, P::diagonal}) run(9, p, Kind::squares, false, false);
  for (const Kind kind : {Kind::plain, Kind::momentum, Kind::nesterov, Kind::adam, Kind::curvature, Kind::squares}) {
    run(9, P::none, kind, false);
    for (const bool apart : {false, true}) {
      if (apart && kind != Kind::plain) continue;
      run(9, P::diagonal, kind, apart);
      for (const int64_t n : {1, 9, 16, 64, 129, 256}) run(n, P::rows, kind, apart);
    }
  }
  return all;
}

/// Weights and what FOP has learned after three steps, of parameters of several tiles.
std::vector<Tensor> results_of_learning() {
  std::vector<Tensor> all;
  for (const auto norm : {optim::Fop::Norm::off, optim::Fop::Norm::through}) {
    ParamInfo info{.name = "conv", .layer = LayerKind::conv, .role = ParamRole::weight};
    info.out = 96, info.in = 40, info.kernel[0] = info.kernel[1] = 3;
    const Parameter weight(random({96, 40, 3, 3}, 1), info);
    optim::Optimizer optimizer = optim::over({weight})
                                     .precondition(optim::Fop{.norm = norm})
                                     .rule(optim::Sgd{.lr = 0.1, .momentum = 0.9})
                                     .build();
    for (uint64_t step = 0; step < 3; ++step) {
      weight.set_grad(random(weight.shape(), 2 + step));
      optimizer.step();
    }
    all.push_back(weight.value());
    for (const auto& [name, tensor] : optimizer.state()) all.push_back(cast(tensor, DType::float64));
  }
  return all;
}

}  // namespace

TEST_CASE("no update's result depends on the order of threads and blocks, nor what preconditioners learn") {
  for (const DType dtype : {DType::float32, DType::float64, DType::bfloat16}) {
    CAPTURE(dtype);
    check_independent_of_order([&] { return results_of_every_update(dtype); });
  }
  check_independent_of_order(results_of_learning);
}

TEST_CASE("a parameter without elements has a correlation of zeros, however long its rows are") {
  for (const int64_t n : {9, 256, 257, 300}) {
    CAPTURE(n);
    Tensor value = Tensor::zeros({0, n}), correlation = Tensor::full({n, n}, 7);
    const Tensor p = random({n, n}, 1);
    const ParameterUpdate update{
        .value = &value, .gradient = &value, .previous = &value, .p = &p, .correlation = &correlation};
    kernels::update({&update, 1}, {});
    CHECK(max(abs(correlation)).item() == 0);
  }
}

TEST_CASE("a step of FOP or FOP-norm is two kernels, however many layers learn") {
  using Norm = optim::Fop::Norm;
  for (const auto& [layers, norm] : {std::pair<int64_t, Norm>{1, Norm::off}, {9, Norm::off}, {9, Norm::through}}) {
    const std::vector<Parameter> parameters = kernels_of_nine(layers);
    optim::Optimizer optimizer = optim::over(parameters)
                                     .precondition(optim::Fop{.norm = norm})
                                     .rule(optim::Sgd{.lr = 0.1, .momentum = 0.9})
                                     .weight_decay({.rate = 1e-3})
                                     .build();
    launches_of_step(parameters, optimizer);  // makes every P = M M^T, and has no gradient before it to learn from
    const int64_t before = gradus_cuda_on_host_launches();
    for (int step = 0; step < 3; ++step) launches_of_step(parameters, optimizer);
    device::synchronize();
    CHECK(gradus_cuda_on_host_launches() == before + 3 * 2);
  }
}

TEST_CASE(
    "what preconditioners learn goes to the side stream and is there for whoever reads it; in order where captured "
    "work is") {
  std::vector<std::vector<float>> learned;
  for (const bool reversed : {false, true}) {
    gradus_cuda_on_host_reverse(reversed);
    const std::vector<Parameter> parameters = kernels_of_nine(2);
    optim::Optimizer optimizer = optim::over(parameters).precondition(optim::Fop{}).rule(optim::Sgd{.lr = 0.1}).build();
    const Tensor m = optimizer.state().at("conv1/fop.factor");
    launches_of_step(parameters, optimizer);
    const int64_t launches = launches_of_step(parameters, optimizer), before = gradus_cuda_on_host_launches();
    CHECK(launches == (reversed ? 2 : 1));  // the side stream is as late as may be, or at once
    learned.push_back(m.to_vector<float>());
    CHECK(gradus_cuda_on_host_launches() - before == (reversed ? 0 : 1));

    StepGraph graph;
    Tensor twice;
    const size_t doubling = graph.capture([&] { twice = m * 2; });
    CHECK(launches_of_step(parameters, optimizer) == 2);
    graph.replay(doubling);
    learned.push_back(twice.to_vector<float>());
    CHECK(learned.back() == (m * 2).to_vector<float>());
    gradus_cuda_on_host_reverse(false);
  }
  CHECK(learned[0] == learned[2]);
  CHECK(learned[1] == learned[3]);
}

TEST_CASE("random numbers are the CPU's to the bit in every memory order") {
  const RandomKey key{11, 12, 13};
  for (const Shape& shape : {Shape{3, 5, 6, 7}, Shape{3, 5, 6, 2}}) {  // in the second four pixels share a block
    for (const DType dtype : {DType::float32, DType::float64, DType::bfloat16}) {
      for (const Memory memory : every_memory) {
        Tensor expected = Tensor::empty(shape, dtype);
        if (dtype == DType::bfloat16) {
          ref::copy(random(shape, 1), expected);
        } else {
          Tensor out = empty_in(memory, shape, dtype);
          kernels::random_uniform(key, -2, 3, out);
          ref::random_uniform(key, -2, 3, expected);
          check_equal(out, expected);
          kernels::random_normal(key, 1, 2, out);
          ref::random_normal(key, 1, 2, expected);
          check_equal(out, expected);
        }
        Tensor dropped = empty_in(memory, shape, dtype), expected_drop = Tensor::empty(shape, dtype);
        kernels::dropout(key, 0.4, in(memory, expected), dropped);
        ref::dropout(key, 0.4, expected, expected_drop);
        check_equal(dropped, expected_drop);
      }
    }
  }
}

TEST_CASE("rows are added in the reference's order, also where their numbers are compared in several parts") {
  for (const DType dtype : {DType::float32, DType::float64, DType::bfloat16}) {
    for (const int64_t count : {1, 33, 9000}) {
      CAPTURE(dtype);
      CAPTURE(count);
      std::vector<int64_t> rows;
      for (int64_t i = 0; i < count; ++i) rows.push_back(i < 8500 ? i * i % 11 : i % 13);  // 11 and 12 come late
      const Tensor index = expand(Tensor::from(rows, {count, 1}), {count, 3});
      const Tensor source = cast(random({count, 3}, 1), dtype);
      Tensor sums = cast(random({13, 3}, 2), dtype), expected = clone(sums);
      kernels::scatter_add(0, index, source, sums);
      ref::scatter_add(0, index, source, expected);
      check_equal(sums, expected);
    }
  }
}

TEST_CASE("a cut covers every term once, whatever the numbers of outputs and terms") {
  for (const int64_t outputs : {1, 2, 7, 31, 96, 1000, 70000}) {
    for (const int64_t terms : {0, 1, 3, 64, 1000, 4096, 1000000}) {
      for (const bool along_terms : {false, true}) {
        const cuda::Cut cut = cuda::make_cut(outputs, terms, along_terms);
        CAPTURE(outputs);
        CAPTURE(terms);
        CHECK(cut.lanes * cut.width == cuda::threads_per_block);
        CHECK(std::has_single_bit(static_cast<unsigned>(cut.lanes)));
        CHECK(cut.tiles * cut.width >= outputs);
        CHECK(cut.pieces >= 1);
        CHECK(cut.pieces * cut.piece >= terms);
        CHECK((cut.pieces - 1) * cut.piece <= terms);
        CHECK(cut.tiles * cut.pieces <= std::max<int64_t>(cut.tiles, 2048));
      }
    }
  }
}

TEST_CASE("integers beyond the doubles are reduced exactly") {
  const int64_t big = (int64_t{1} << 60) + 1;
  const Tensor x = Tensor::from<int64_t>({big, 2, big + 1, 5}, {4});
  CHECK(max(x).to_vector<int64_t>()[0] == big + 1);
  CHECK(sum(x).to_vector<int64_t>()[0] == 2 * big + 8);
  CHECK(argmax(x, 0).to_vector<int64_t>()[0] == 2);
}

TEST_CASE("the plain sums measure how far an output is off, and see what was not written") {
  const Conv2dSpec spec{.stride = {2, 2}, .padding = {0, 0, 1, 1}};
  const auto images = [](const Shape& shape, uint64_t seed) {
    return contiguous(random(shape, seed), Layout::channels_last);
  };
  const Tensor x = images({2, 6, 8, 8}, 1), w = images({10, 6, 3, 3}, 2);
  for (const ConvPass pass : {ConvPass::forward, ConvPass::grad_input, ConvPass::grad_weight}) {
    const Tensor y = images(conv2d_shape(x.shape(), w.shape(), spec), 3);
    const cuda::ConvOperands operands = {clone(x), clone(w), y};
    cuda::plain_conv(pass, operands, spec);
    CHECK(cuda::relative_error(pass, operands, spec) < 1e-6);
    Tensor out = pass == ConvPass::forward ? operands.y : pass == ConvPass::grad_input ? operands.x : operands.w;
    scale_(out, 1.01);
    CHECK(cuda::relative_error(pass, operands, spec) / 0.01 == doctest::Approx(1).epsilon(1e-3));
    Tensor last = slice(out, 0, -1, out.size(0));
    fill_(last, NAN);
    CHECK(std::isnan(cuda::relative_error(pass, operands, spec)));
  }
}

TEST_CASE("convolutions go around what the library lacks and say when they end in the plain kernel") {
  // The stand-in for cuDNN refuses an odd number of outputs with a bias, unequal paddings, and groups.
  std::vector<std::string> warnings;
  set_warning_handler([&](const std::string& line) { warnings.push_back(line); });
  for (const bool tf32 : {false, true}) {
    set_accelerator({.tf32 = tf32});
    for (const int64_t outputs : {4, 5}) {
      const Conv2dSpec spec{.stride = {2, 2}, .padding = {0, 1, 1, 0}};
      const Tensor x = random({2, 3, 9, 8}, 1), w = random({outputs, 3, 3, 3}, 2), bias = random({outputs}, 3);
      const Tensor y = conv2d(x, w, bias, spec, true), gy = random(y.shape(), 4);
      Tensor expected = Tensor::empty(y.shape()), gx = Tensor::empty(x.shape()), gw = Tensor::empty(w.shape());
      ref::conv2d_forward(x, w, bias, true, spec, expected);
      ref::conv2d_grad_input(gy, w, spec, gx);
      ref::conv2d_grad_weight(gy, x, spec, gw);
      const auto bound = [](size_t) { return 1e-5; };  // of sums of at most 50 products below 1
      check_within(y, expected, bound);
      check_within(conv2d_grad_input(gy, w, spec, x.shape()), gx, bound);
      check_within(conv2d_grad_weight(gy, x, spec, w.shape()), gw, bound);
    }
  }
  set_accelerator({});
  CHECK(warnings.empty());
  const Tensor grouped = conv2d(random({1, 4, 5, 5}, 5), random({6, 2, 3, 3}, 6), Tensor(), {.groups = 2});
  CHECK(grouped.shape() == Shape{1, 6, 3, 3});
  REQUIRE(warnings.size() == 1);
  CHECK(
      warnings[0] ==
      "[conv2d] cuDNN has no engine for x [1,4,5,5], w [6,2,3,3] in float32 that the settings allow; a plain and slow "
      "kernel takes its place");
  set_warning_handler(nullptr);
}

TEST_CASE(
    "captured gradients of parameters go to the side stream, before whoever reads them or writes what they read") {
  const Conv2dSpec spec{.padding = {1, 1, 1, 1}};
  const Tensor source = random({2, 8, 5, 6}, 1), w = random({4, 8, 3, 3}, 2), gy = random({2, 4, 5, 6}, 3);
  Tensor x = clone(source);
  const Tensor y = conv2d(x, w, random({4}, 4), spec, true);
  struct Results {
    Tensor input, weight, bias, twice;
  };
  const auto work = [&]() -> Results {
    const ConvGradients first = conv2d_gradients(gy, y, x, w, spec);
    const ConvGradients second = conv2d_gradients(gy * 2, y, x, w, spec);
    const Tensor both = first.weight + second.weight;  // reads what the side stream wrote
    fill_(x, 0);                                       // writes what it reads
    return {first.input, both, second.bias, conv2d_gradients(gy, y, x, w, spec).weight};
  };
  const Results plain = work();
  for (const bool reversed : {false, true}) {
    gradus_cuda_on_host_reverse(reversed);
    StepGraph graph;
    Results captured;
    const size_t step = graph.capture([&] { captured = work(); });
    copy_(x, source);
    graph.replay(step);
    gradus_cuda_on_host_reverse(false);
    CHECK(captured.input.to_vector<float>() == plain.input.to_vector<float>());
    CHECK(captured.weight.to_vector<float>() == plain.weight.to_vector<float>());
    CHECK(captured.bias.to_vector<float>() == plain.bias.to_vector<float>());
    CHECK(captured.twice.to_vector<float>() == plain.twice.to_vector<float>());
    CHECK(max(abs(captured.twice)).item() == 0);
  }
}

TEST_CASE(
    "what the side stream's work frees serves nobody else, also where that work first waits for earlier work there") {
  // The features of a template are the filters for an image: their gradient is a parameter's, written by it, and what
  // the template's last convolution, without ReLU, gets as it is.
  const Conv2dSpec spec{.padding = {1, 1, 1, 1}};
  const Var parts = contiguous(random({4, 8, 3, 3}, 1), Layout::channels_last);
  const Var image = contiguous(random({2, 8, 9, 9}, 2), Layout::channels_last);
  const Parameter w0(random({6, 8, 3, 3}, 3), {.name = "w0"}), w1(random({8, 6, 3, 3}, 4), {.name = "w1"}),
      w2(random({8, 8, 3, 3}, 5), {.name = "w2"});
  const Parameter parameters[] = {w0, w1, w2};
  const auto work = [&] {
    for (const Parameter& parameter : parameters) parameter.clear_grad();
    const Var filters = conv2d(conv2d(parts, w0, {}, spec, true), w1, {}, spec);
    const Var y = conv2d(conv2d(image, w2, {}, spec, true), filters, {}, spec);
    sum(y * y).backward();
  };
  work();
  std::vector<std::vector<float>> plain;
  for (const Parameter& parameter : parameters) plain.push_back(parameter.grad().to_vector<float>());
  for (const bool reversed : {false, true}) {
    gradus_cuda_on_host_reverse(reversed);
    StepGraph graph;
    graph.replay(graph.capture(work));
    gradus_cuda_on_host_reverse(false);
    for (size_t i = 0; i < plain.size(); ++i) {
      CAPTURE(i);
      CHECK(parameters[i].grad().to_vector<float>() == plain[i]);
    }
  }
}

TEST_CASE(
    "work of the side stream that fails is waited for, since nobody knows what it uses; captured, it leaves nothing") {
  const auto fill_and_fail = [](Tensor& x) {
    const auto work = [&] {
      fill_(x, 1);
      fail(ErrorKind::value, "test", "this work fails");
    };
    cuda::run_on_side_stream(work, {.read = {}, .written = {x}}, {});
  };
  Tensor x = Tensor::zeros({3});
  CHECK_THROWS_WITH_AS(fill_and_fail(x), "[test] this work fails", Error);
  CHECK(x.to_vector<float>() == std::vector<float>{1, 1, 1});
  for (const bool reversed : {false, true}) {
    Tensor untouched = Tensor::zeros({3});
    gradus_cuda_on_host_reverse(reversed);
    CHECK_THROWS_WITH_AS(StepGraph().capture([&] { fill_and_fail(untouched); }), "[test] this work fails", Error);
    gradus_cuda_on_host_reverse(false);
    CHECK(untouched.to_vector<float>() == std::vector<float>{0, 0, 0});
  }
}

TEST_CASE("while one thread captures no other one waits for the device: that would be captured too") {
  std::string said;
  StepGraph().capture([&] {
    std::thread([&] {
      try {
        finish_device();
      } catch (const Error& error) {
        said = error.what();
      }
    }).join();
  });
  CHECK(
      said ==
      "[synchronize] waits for the device, reads from it or sends it a value while work is captured, by this thread or "
      "another; captured work cannot repeat that");
}
