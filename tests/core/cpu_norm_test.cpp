// Softmax, batch, layer and group norm of the device in float32 against the reference, which computes in double.
#include <algorithm>

#include "core/ops.h"
#include "core/parallel.h"
#include "tests/core/cpu_compare.h"

using namespace gradus;
using namespace gradus::testing;

namespace {

/// The kernels add at most this many float32 terms to one another before a total goes on in double: see
/// core/cpu/vector. A row of n is one running sum in each of several lanes, so at most n.
constexpr double stretch = 34;

double largest(const Tensor& x) {
  double result = 0;
  for (const double v : elements(x)) result = std::max(result, std::abs(v));
  return result;
}

auto constant(double bound) {
  return [bound](size_t) { return bound; };
}

}  // namespace

TEST_CASE("softmax and its logarithm agree with the reference along every dimension in every memory order") {
  for (const Shape& shape : {Shape{5, 10}, Shape{3, 1000}, Shape{2, 7, 5, 3}, Shape{4, 1}, Shape{0, 4}, Shape{9}}) {
    const Tensor x = random(shape, 1, -8, 8);
    for (int dim = 0; dim < shape.rank(); ++dim) {
      for (const bool log : {false, true}) {
        Tensor expected = Tensor::empty(shape);
        ref::softmax(x, dim, log, expected);
        // x - max, up to 16, is rounded; then n terms are added, each within 2 ulps
        const double relative = (16 + static_cast<double>(shape[dim]) + 8) * float_epsilon;
        for (const Memory from : every_memory)
          for (const Memory to : every_memory) {
            Tensor y = empty_in(to, shape);
            kernels::softmax(in(from, x), dim, log, y);
            check_within(y, expected, [&, e = elements(expected)](size_t i) {
              return relative * (log ? std::max(1.0, std::abs(e[i])) : e[i]);
            });
          }
      }
    }
  }
}

TEST_CASE("softmax stays finite where the exponentials alone would overflow") {
  const Tensor x = Tensor::from({1000.0f, 999.0f, -1000.0f}, {1, 3});
  Tensor y = Tensor::empty({1, 3}), expected = Tensor::empty({1, 3});
  for (const bool log : {false, true}) {
    kernels::softmax(x, 1, log, y);
    ref::softmax(x, 1, log, expected);
    check_within(y, expected, [e = elements(expected)](size_t i) { return 4 * float_epsilon * std::abs(e[i]); });
  }
}

TEST_CASE("gradients of softmax agree with the reference along every dimension in every memory order") {
  for (const Shape& shape : {Shape{5, 10}, Shape{3, 300}, Shape{2, 7, 5, 3}}) {
    const Tensor gy = random(shape, 2), x = random(shape, 3, -3, 3);
    for (int dim = 0; dim < shape.rank(); ++dim) {
      for (const bool log : {false, true}) {
        Tensor y = Tensor::empty(shape), expected = Tensor::empty(shape);
        ref::softmax(x, dim, log, y);
        ref::softmax_backward(gy, y, dim, log, expected);
        const auto n = static_cast<double>(shape[dim]);
        // the sum of gy (at most n) or of gy y (at most 1), then a product with the probability and a difference
        for (const Memory memory : every_memory) {
          Tensor gx = empty_in(memory, shape);
          kernels::softmax_backward(in(memory, gy), in(memory, y), dim, log, gx);
          check_within(gx, expected, [&, e = elements(y)](size_t i) {
            const double p = log ? std::exp(e[i]) : e[i];
            return (n + 6) * float_epsilon * (log ? 1 + p * n : 2 * p);
          });
        }
      }
    }
  }
}

TEST_CASE("softmax of very many classes loses nothing to their number, nor does its gradient") {
  const int64_t n = 300007;
  const Shape shape{1, n};
  const Tensor x = Tensor::full(shape, -0.1), gy = random(shape, 27, 0.5, 1.5);
  x.data<float>()[0] = 0;
  // a lane adds at most 128 terms to one another; as many of other values round to both sides
  const double sum = 150 * float_epsilon;
  for (const bool log : {false, true}) {
    Tensor y = Tensor::empty(shape), expected = Tensor::empty(shape);
    kernels::softmax(x, 1, log, y);
    ref::softmax(x, 1, log, expected);
    check_within(y, expected, [&, e = elements(expected)](size_t i) { return sum * (log ? 1 : e[i]); });
    Tensor gx = Tensor::empty(shape), right_gx = Tensor::empty(shape);
    kernels::softmax_backward(gy, expected, 1, log, gx);
    ref::softmax_backward(gy, expected, 1, log, right_gx);
    check_within(gx, right_gx, [&, e = elements(expected)](size_t i) {
      return log ? sum * 1.5 * (1 + std::exp(e[i]) * static_cast<double>(n)) : sum * 1.5 * e[i];
    });
  }
}

TEST_CASE("cross-entropy and its gradient agree with the reference in every memory order") {
  for (const Shape& shape : {Shape{1, 1}, Shape{128, 10}, Shape{3, 1000}, Shape{300, 7}}) {
    const int64_t rows = shape[0], classes = shape[1];
    const Tensor x = random(shape, 2, -5, 5), gy = random({rows}, 3);
    std::vector<int64_t> numbers;
    for (int64_t n = 0; n < rows; ++n) numbers.push_back(n * 13 % classes);
    const Tensor labels = Tensor::from(numbers, {rows});
    for (const double smoothing : {0.0, 0.1}) {
      Tensor losses = Tensor::empty({rows}), sums = Tensor::empty({rows, 2}, DType::float64), gx = Tensor::empty(shape);
      ref::cross_entropy(x, labels, smoothing, losses, sums);
      ref::cross_entropy_backward(gy, x, labels, sums, smoothing, 0.5, gx);
      for (const Memory memory : every_memory) {
        Tensor ours = empty_in(memory, {rows}), our_sums = Tensor::empty({rows, 2}, DType::float64);
        Tensor our_gx = empty_in(memory, shape);
        kernels::cross_entropy(in(memory, x), in(memory, labels), smoothing, ours, our_sums);
        kernels::cross_entropy_backward(in(memory, gy), in(memory, x), in(memory, labels), our_sums, smoothing, 0.5,
                                        our_gx);
        // Both compute in float64 and round once; sums in another order may fall on the other side of a rounding.
        check_within(ours, losses, [e = elements(losses)](size_t i) { return 4 * float_epsilon * std::abs(e[i]); });
        check_within(our_sums, sums, [](size_t) { return 1e-12; });
        check_within(our_gx, gx, [e = elements(gx)](size_t i) { return 4 * float_epsilon * std::abs(e[i]) + 1e-13; });
      }
    }
  }
}

TEST_CASE("batch norm and its gradient agree with the reference in every memory order") {
  for (const Shape& shape : {Shape{4, 96, 5, 7}, Shape{64, 3, 33, 31}, Shape{700, 130}, Shape{2, 5, 1, 1},
                             Shape{3, 4, 6}, Shape{2, 3, 5, 1, 7}, Shape{2, 3, 2, 2, 3, 4}}) {
    const int64_t channels = shape[1];
    const Tensor x = random(shape, 4, 2, 4), gy = random(shape, 5);  // a mean well away from 0
    for (const bool affine : {false, true}) {
      const Tensor weight = affine ? random({channels}, 6, 0.5, 2) : Tensor();
      const Tensor bias = affine ? random({channels}, 7) : Tensor();
      Tensor y = Tensor::empty(shape), mean = Tensor::empty({channels}), rstd = Tensor::empty({channels});
      Tensor gx = Tensor::empty(shape), gweight = Tensor::empty({channels}), gbias = Tensor::empty({channels});
      ref::batch_norm_train(x, weight, bias, 1e-5, y, mean, rstd);
      ref::batch_norm_backward(gy, x, weight, mean, rstd, gx, gweight, gbias);
      const double count = static_cast<double>(numel(shape)) / static_cast<double>(channels);
      // The mean errs by `stretch` roundings of values up to 4; that, relative to a standard deviation, moves every
      // normalized value, which is at most 4 rstd.
      const double scale = largest(rstd), unit = stretch * float_epsilon;
      const double moved = unit * 4 * scale * 2 + unit * 4;
      for (const Memory memory : every_memory) {
        Tensor y2 = empty_in(memory, shape), mean2 = Tensor::empty({channels}), rstd2 = Tensor::empty({channels});
        kernels::batch_norm_train(in(memory, x), weight, bias, 1e-5, y2, mean2, rstd2);
        check_within(mean2, mean, constant(unit * 4));
        // d rstd / rstd = - d variance / (2 variance), and squares err relatively by a stretch and some
        check_within(rstd2, rstd, [&, r = elements(rstd)](size_t c) { return 2 * unit * r[c]; });
        check_within(y2, y, constant(moved * 2));

        Tensor applied = empty_in(memory, shape);
        kernels::batch_norm_apply(in(memory, x), weight, bias, mean, rstd, applied);
        check_within(applied, y, constant(8 * float_epsilon * (4 * scale * 2 + 1)));

        Tensor gx2 = empty_in(memory, shape), gweight2 = Tensor::empty({channels}), gbias2 = Tensor::empty({channels});
        kernels::batch_norm_backward(in(memory, gy), in(memory, x), weight, mean, rstd, gx2, gweight2, gbias2);
        check_within(gbias2, gbias, constant(unit * count));
        check_within(gweight2, gweight, constant(unit * count * 4 * scale));
        check_within(gx2, gx, constant(unit * 2 * scale * (1 + 1 + 16 * scale * scale)));
      }
    }
  }
}

TEST_CASE("the variance of batch norm and layer norm survives a mean a thousand times as large") {
  const Tensor x = random({4096, 8}, 8, 999, 1001);
  Tensor y = Tensor::empty(x.shape()), mean = Tensor::empty({8}), rstd = Tensor::empty({8});
  Tensor mean2 = Tensor::empty({8}), rstd2 = Tensor::empty({8});
  ref::batch_norm_train(x, Tensor(), Tensor(), 1e-5, y, mean, rstd);
  kernels::batch_norm_train(x, Tensor(), Tensor(), 1e-5, y, mean2, rstd2);
  check_within(rstd2, rstd, [&, r = elements(rstd)](size_t c) { return 2 * stretch * float_epsilon * r[c]; });

  const Tensor rows(x.storage(), 0, {8, 4096}, {4096, 1}, DType::float32);
  Tensor z = Tensor::empty(rows.shape());
  ref::layer_norm_forward(rows, Tensor(), Tensor(), 1e-5, z, mean, rstd);
  kernels::layer_norm_forward(rows, Tensor(), Tensor(), 1e-5, z, mean2, rstd2);
  // 4096 squares in lanes of at least 4
  check_within(rstd2, rstd, [&, r = elements(rstd)](size_t c) { return 1024 * float_epsilon * r[c]; });
}

TEST_CASE("layer norm and its gradient agree with the reference in every memory order") {
  for (const Shape& shape : {Shape{5, 40}, Shape{300, 257}, Shape{3, 1}, Shape{2000, 9}}) {
    const int64_t rows = shape[0], columns = shape[1];
    const Tensor x = random(shape, 9, 0, 2), gy = random(shape, 10);
    for (const bool affine : {false, true}) {
      const Tensor weight = affine ? random({columns}, 11, 0.5, 2) : Tensor();
      const Tensor bias = affine ? random({columns}, 12) : Tensor();
      Tensor y = Tensor::empty(shape), mean = Tensor::empty({rows}), rstd = Tensor::empty({rows});
      Tensor gx = Tensor::empty(shape), gweight = Tensor::empty({columns}), gbias = Tensor::empty({columns});
      ref::layer_norm_forward(x, weight, bias, 1e-2, y, mean, rstd);
      ref::layer_norm_backward(gy, x, weight, mean, rstd, gx, gweight, gbias);
      const double scale = largest(rstd), unit = (static_cast<double>(columns) / 4 + 8) * float_epsilon;
      for (const Memory memory : every_memory) {
        Tensor y2 = empty_in(memory, shape), mean2 = Tensor::empty({rows}), rstd2 = Tensor::empty({rows});
        kernels::layer_norm_forward(in(memory, x), weight, bias, 1e-2, y2, mean2, rstd2);
        check_within(mean2, mean, constant(unit * 2));
        check_within(rstd2, rstd, [&, r = elements(rstd)](size_t c) { return 2 * unit * r[c]; });
        check_within(y2, y, constant(4 * unit * (2 * scale * 2 + 1)));

        Tensor gx2 = empty_in(memory, shape), gweight2 = Tensor::empty({columns}), gbias2 = Tensor::empty({columns});
        kernels::layer_norm_backward(in(memory, gy), in(memory, x), weight, mean, rstd, gx2, gweight2, gbias2);
        // sums over rows run in double; their terms, at most 2 scale, are rounded three times
        check_within(gbias2, gbias, constant(float_epsilon * static_cast<double>(rows)));
        check_within(gweight2, gweight, constant(4 * float_epsilon * static_cast<double>(rows) * 2 * scale));
        check_within(gx2, gx, constant(unit * scale * 2 * (2 + 4 * scale * scale)));
      }
    }
  }
}

TEST_CASE("gradients through batch norm and layer norm agree with the reference where rows are longer than a piece") {
  const Shape shape{50, 33000};
  const int64_t rows = shape[0], columns = shape[1];
  const Tensor x = random(shape, 24, 0, 2), gy = random(shape, 25), weight = random({columns}, 26, 0.5, 2);
  Tensor y = Tensor::empty(shape), gx = Tensor::empty(shape), right_gx = Tensor::empty(shape);
  Tensor gweight = Tensor::empty({columns}), gbias = Tensor::empty({columns});
  Tensor right_gweight = Tensor::empty({columns}), right_gbias = Tensor::empty({columns});
  for (const bool layer : {false, true}) {
    CAPTURE(layer);
    const int64_t groups = layer ? rows : columns;
    Tensor mean = Tensor::empty({groups}), rstd = Tensor::empty({groups});
    Tensor right_mean = Tensor::empty({groups}), right_rstd = Tensor::empty({groups});
    const auto right_forward = layer ? ref::layer_norm_forward : ref::batch_norm_train;
    const auto forward = layer ? kernels::layer_norm_forward : kernels::batch_norm_train;
    right_forward(x, weight, Tensor(), 1e-2, y, right_mean, right_rstd);
    forward(x, weight, Tensor(), 1e-2, y, mean, rstd);
    const double scale = largest(right_rstd), added = layer ? static_cast<double>(columns) / 4 : stretch;
    const double unit = (added + 8) * float_epsilon;
    check_within(mean, right_mean, constant(2 * unit));
    check_within(rstd, right_rstd, [&, r = elements(right_rstd)](size_t i) { return 2 * unit * r[i]; });

    const auto right_backward = layer ? ref::layer_norm_backward : ref::batch_norm_backward;
    const auto backward = layer ? kernels::layer_norm_backward : kernels::batch_norm_backward;
    right_backward(gy, x, weight, right_mean, right_rstd, right_gx, right_gweight, right_gbias);
    backward(gy, x, weight, right_mean, right_rstd, gx, gweight, gbias);
    // sums of 50 terms, of which float32 adds no more than 16 to one another
    const double sum = 20 * float_epsilon * static_cast<double>(rows);
    check_within(gbias, right_gbias, constant(sum));
    check_within(gweight, right_gweight, constant(sum * 4 * scale));
    check_within(gx, right_gx, constant(2 * unit * scale * 2 * (2 + 4 * scale * scale)));
  }
}

TEST_CASE("group norm and its gradient agree with the reference in every memory order") {
  struct Case {
    Shape shape;
    int64_t groups;
  };
  // More rows than one piece holds, sequences, vectors, single pixels, and volumes.
  for (const Case& c : {Case{{3, 24, 5, 7}, 4}, Case{{2, 48, 25, 20}, 3}, Case{{5, 12, 9}, 12}, Case{{6, 40}, 5},
                        Case{{4, 6, 1, 1}, 6}, Case{{2, 6, 3, 2, 4}, 2}, Case{{0, 4, 2, 2}, 2}}) {
    const int64_t images = c.shape[0], channels = c.shape[1];
    const Tensor x = random(c.shape, 15, 0, 4), gy = random(c.shape, 16);
    for (const bool affine : {false, true}) {
      const Tensor weight = affine ? random({channels}, 17, 0.5, 2) : Tensor();
      const Tensor bias = affine ? random({channels}, 18) : Tensor();
      const auto statistics = [&] { return Tensor::empty({images, c.groups}); };
      Tensor y = Tensor::empty(c.shape), mean = statistics(), rstd = statistics();
      Tensor gx = Tensor::empty(c.shape), gweight = Tensor::empty({channels}), gbias = Tensor::empty({channels});
      ref::group_norm_forward(x, weight, bias, 1e-2, y, mean, rstd);
      ref::group_norm_backward(gy, x, weight, mean, rstd, gx, gweight, gbias);
      const double count = static_cast<double>(numel(c.shape)) / static_cast<double>(channels);
      // As of batch norm: means err by `stretch` roundings of values up to 4, normalized values are at most 4 rstd.
      const double scale = largest(rstd), unit = stretch * float_epsilon, gain = affine ? 2 : 1;
      for (const Memory memory : every_memory) {
        Tensor y2 = empty_in(memory, c.shape), mean2 = statistics(), rstd2 = statistics();
        kernels::group_norm_forward(in(memory, x), weight, bias, 1e-2, y2, mean2, rstd2);
        check_within(mean2, mean, constant(unit * 4));
        check_within(rstd2, rstd, [&, r = elements(rstd)](size_t i) { return 2 * unit * r[i]; });
        check_within(y2, y, constant(2 * gain * (unit * 4 * scale * 2 + unit * 4)));

        Tensor gx2 = empty_in(memory, c.shape), gweight2 = Tensor::empty({channels}),
               gbias2 = Tensor::empty({channels});
        kernels::group_norm_backward(in(memory, gy), in(memory, x), weight, mean, rstd, gx2, gweight2, gbias2);
        check_within(gbias2, gbias, constant(unit * count));
        check_within(gweight2, gweight, constant(unit * count * 4 * scale));
        check_within(gx2, gx, constant(unit * 2 * gain * scale * (1 + 1 + 16 * scale * scale)));
      }
    }
  }
}

TEST_CASE("a group of one element has the bias as its result, and no gradient") {
  const Tensor x = random({3, 5, 1, 1}, 19, 10, 90), gy = random({3, 5, 1, 1}, 20), weight = random({5}, 21, 0.1, 3);
  const Tensor bias = random({5}, 22);
  Tensor y = Tensor::empty(x.shape()), mean = Tensor::empty({3, 5}), rstd = Tensor::empty({3, 5});
  Tensor gx = Tensor::empty(x.shape()), gweight = Tensor::empty({5}), gbias = Tensor::empty({5});
  kernels::group_norm_forward(x, weight, bias, 1e-5, y, mean, rstd);
  kernels::group_norm_backward(gy, x, weight, mean, rstd, gx, gweight, gbias);
  const auto got = elements(y), expected = elements(bias);
  for (size_t i = 0; i < got.size(); ++i) CHECK(got[i] == expected[i % 5]);
  for (const double g : elements(gx)) CHECK(g == 0);
  for (const double g : elements(gweight)) CHECK(g == 0);
}

TEST_CASE("the variance of group norm survives a mean a thousand times as large, and means far apart") {
  Tensor x = Tensor::empty({2, 8, 32, 64});  // several pieces
  for (int64_t c = 0; c < 8; ++c) {
    Tensor channel = slice(x, 1, c, c + 1);
    copy_(channel, random(channel.shape(), 23 + static_cast<uint64_t>(c), 999, 1001 + static_cast<double>(c % 2)));
  }
  Tensor y = Tensor::empty(x.shape()), mean = Tensor::empty({2, 4}), rstd = Tensor::empty({2, 4});
  Tensor mean2 = Tensor::empty({2, 4}), rstd2 = Tensor::empty({2, 4});
  ref::group_norm_forward(x, Tensor(), Tensor(), 1e-5, y, mean, rstd);
  kernels::group_norm_forward(contiguous(x, Layout::channels_last), Tensor(), Tensor(), 1e-5, y, mean2, rstd2);
  check_within(rstd2, rstd, [&, r = elements(rstd)](size_t i) { return 2 * stretch * float_epsilon * r[i]; });
}

TEST_CASE("normalizations give the same bits for every number of threads") {
  const int before = num_threads();
  const Shape shape{16, 24, 20, 20};
  Tensor x = Tensor::empty(shape, DType::float32, Layout::channels_last), gy = Tensor::empty_like(x);
  ref::copy(random(shape, 13), x);
  ref::copy(random(shape, 14), gy);
  std::vector<float> first;
  for (const int threads : {1, 2, 3}) {
    set_num_threads(threads);
    Tensor y = Tensor::empty_like(x), mean = Tensor::empty({24}), rstd = Tensor::empty({24});
    Tensor gx = Tensor::empty_like(x), gweight = Tensor::empty({24}), gbias = Tensor::empty({24});
    kernels::batch_norm_train(x, Tensor(), Tensor(), 1e-5, y, mean, rstd);
    kernels::batch_norm_backward(gy, x, Tensor(), mean, rstd, gx, gweight, gbias);
    std::vector<float> all;
    const auto keep = [&] {
      for (const Tensor* t : {&y, &mean, &rstd, &gx, &gweight, &gbias})
        for (const float v : bits_of(*t)) all.push_back(v);
    };
    keep();
    mean = Tensor::empty({16, 6});
    rstd = Tensor::empty({16, 6});
    kernels::group_norm_forward(x, Tensor(), Tensor(), 1e-5, y, mean, rstd);
    kernels::group_norm_backward(gy, x, Tensor(), mean, rstd, gx, gweight, gbias);
    keep();
    for (const Shape& matrix : {Shape{1600, 96}, Shape{4, 38400}}) {
      const auto as_rows = [&](const Tensor& t) {
        return Tensor(t.storage(), 0, matrix, contiguous_strides(matrix), DType::float32);
      };
      gx = Tensor::empty(matrix);
      mean = Tensor::empty({matrix[0]});
      rstd = Tensor::empty({matrix[0]});
      gweight = Tensor::empty({matrix[1]});
      gbias = Tensor::empty({matrix[1]});
      Tensor normalized = as_rows(y);
      kernels::layer_norm_forward(as_rows(x), Tensor(), Tensor(), 1e-5, normalized, mean, rstd);
      kernels::layer_norm_backward(as_rows(gy), as_rows(x), Tensor(), mean, rstd, gx, gweight, gbias);
      keep();
    }
    if (threads == 1) first = all;
    CHECK(all == first);
  }
  set_num_threads(before);
}
