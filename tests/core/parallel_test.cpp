#include "core/parallel.h"

#include <doctest/doctest.h>
#include <omp.h>

#include <algorithm>
#include <mutex>
#include <stdexcept>
#include <vector>

#include "core/convolution.h"
#include "core/error.h"
#include "core/kernels.h"
#include "core/ops.h"
#include "core/random.h"

using namespace gradus;

namespace {

std::vector<std::pair<int64_t, int64_t>> ranges(int64_t count, int64_t grain) {
  std::vector<std::pair<int64_t, int64_t>> found;
  std::mutex mutex;
  parallel_for(count, grain, [&](int64_t begin, int64_t end) {
    const std::lock_guard lock(mutex);
    found.emplace_back(begin, end);
  });
  std::sort(found.begin(), found.end());
  return found;
}

struct Threads {
  explicit Threads(int n) : before(num_threads()) { set_num_threads(n); }
  ~Threads() { set_num_threads(before); }
  int before;
};

}  // namespace

TEST_CASE("ranges cover everything exactly once") {
  const Threads threads(3);
  for (int64_t count : {1, 2, 3, 7, 100}) {
    int64_t next = 0;
    for (auto [begin, end] : ranges(count, 1)) {
      CHECK(begin == next);
      CHECK(end > begin);
      next = end;
    }
    CHECK(next == count);
  }
  CHECK(ranges(0, 1).empty());
}

TEST_CASE("a number of threads that no machine has is refused") {
  const int before = num_threads();
  CHECK_THROWS_WITH_AS(set_num_threads(100000), "[set_num_threads] takes 1 to 1024 threads, got 100000", Error);
  CHECK_THROWS_WITH_AS(set_num_threads(0), "[set_num_threads] takes 1 to 1024 threads, got 0", Error);
  CHECK(num_threads() == before);
}

TEST_CASE("small work stays on the calling thread") {
  const Threads threads(4);
  CHECK(ranges(100, 100).size() == 1);
  CHECK(ranges(199, 100).size() == 1);
  CHECK(ranges(200, 100).size() == 2);
  CHECK(ranges(100000, 100).size() == 4);
}

TEST_CASE("an exception of a range reaches the caller") {
  const Threads threads(2);
  CHECK_THROWS_AS(parallel_for(1000, 1,
                               [](int64_t begin, int64_t) {
                                 if (begin > 0) throw std::runtime_error("x");
                               }),
                  std::runtime_error);
}

TEST_CASE("nested calls run on their own thread") {
  const Threads threads(2);
  std::vector<int> hits(64);
  parallel_for(8, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      parallel_for(8, 1, [&](int64_t b, int64_t e) {
        for (int64_t k = b; k < e; ++k) ++hits[static_cast<size_t>(i * 8 + k)];
      });
  });
  CHECK(hits == std::vector<int>(64, 1));
}

TEST_CASE("sums over all threads are whole where OpenMP gives fewer: in a parallel region, and on a busy machine") {
  const ConvAlgorithm algorithm = conv_algorithm();
  set_conv_algorithm(ConvAlgorithm::direct);
  const Threads threads(16);
  const Conv2dSpec spec{.padding = 1};
  const Shape shape{96, 3, 3, 3};
  const Tensor x = random_normal({8, 3, 32, 32}, 0, 1, {.seed = 1});
  const Tensor gy = random_normal({8, 96, 32, 32}, 0, 1, {.seed = 2});
  Tensor expected = Tensor::empty(shape);
  ref::conv2d_grad_weight(gy, x, spec, expected);
  const auto error = [&](const Tensor& gw) { return max(abs(gw - expected)).item(); };
  const double bound = 1e-4 * max(abs(expected)).item();
  CHECK(error(conv2d_grad_weight(gy, x, spec, shape)) < bound);
  std::vector<double> inside(2);
  parallel_for(2, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      inside[static_cast<size_t>(i)] = error(conv2d_grad_weight(gy, x, spec, shape));
  });
  CHECK(inside[0] < bound);
  CHECK(inside[1] < bound);
  omp_set_dynamic(1);
  CHECK(error(conv2d_grad_weight(gy, x, spec, shape)) < bound);
  omp_set_dynamic(0);
  set_conv_algorithm(algorithm);
}
