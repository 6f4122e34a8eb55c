// Captured work. Devices that capture none say so; a GPU, and the list of calls that stands in for it in tests/cuda,
// does at a replay what would have been done at once.
#include "core/step_graph.h"

#include <doctest/doctest.h>

#include <stdexcept>

#include "core/accelerator.h"
#include "core/error.h"
#include "core/ops.h"
#include "core/random.h"

using namespace gradus;

namespace {

std::vector<float> values(const Tensor& x) { return x.to_vector<float>(); }
Tensor three(float a, float b, float c) { return Tensor::from<float>({a, b, c}, {3}); }

}  // namespace

TEST_CASE("a device that captures nothing, or is told not to, says so") {
  const bool can = StepGraph::possible();
  CHECK(can == (device_name() == "cuda"));
  const AcceleratorSettings settings = accelerator();
  set_accelerator({.graphs = false});
  CHECK(!StepGraph::possible());
  CHECK_THROWS_WITH_AS(StepGraph().capture([] {}),
                       can ? "[capture] this device captures no work: it is told not to"
                           : "[capture] this device captures no work: it is a CPU",
                       Error);
  set_accelerator(settings);
  CHECK_THROWS_WITH_AS(StepGraph().replay(0), "[replay] capture 0 of 0 does not exist", Error);
}

TEST_CASE("captured work is done when it is replayed, on what its inputs hold then") {
  if (!StepGraph::possible()) return;
  Tensor x = three(1, 2, 3), y = three(0, 0, 0), out;
  StepGraph graph;
  const size_t number = graph.capture([&] {
    CHECK(capturing());
    out = x * 2.0 + 1.0;
    add_(y, out);
  });
  CHECK(number == 0);
  CHECK(!capturing());
  CHECK(values(y) == std::vector<float>{0, 0, 0});
  graph.replay(number);
  CHECK(values(out) == std::vector<float>{3, 5, 7});
  CHECK(values(y) == std::vector<float>{3, 5, 7});
  copy_(x, three(10, 20, 30));
  graph.replay(number);
  graph.replay(number);
  CHECK(values(out) == std::vector<float>{21, 41, 61});
  CHECK(values(y) == std::vector<float>{45, 87, 129});
}

TEST_CASE("a convolution sees a weight that a replay has written, in a capture and outside") {
  if (!StepGraph::possible()) return;
  const Tensor x = Tensor::ones({1, 2, 4, 4});
  Tensor w = Tensor::ones({2, 2, 3, 3}), inside;
  const auto first = [&] { return select(reshape(conv2d(x, w, {}, {}), {8}), 0, 0).item(); };
  CHECK(first() == 18);
  StepGraph graph;
  const size_t number = graph.capture([&] {
    inside = conv2d(x, w, {}, {});
    scale_(w, 2);
  });
  for (const float expected : {18.0f, 36.0f, 72.0f}) {
    CHECK(first() == expected);
    graph.replay(number);
    CHECK(values(inside) == std::vector<float>(8, expected));
  }
}

TEST_CASE("memory of captured work serves nobody else, and its captures share what they freed") {
  if (!StepGraph::possible()) return;
  Tensor x = three(1, 2, 3), first, second;
  StepGraph graph;
  const size_t one = graph.capture([&] { first = (x + 1.0) * (x + 2.0); });
  const size_t reserved = memory_statistics().reserved;
  const size_t two = graph.capture([&] { second = (x + 3.0) * (x + 4.0); });
  CHECK(memory_statistics().reserved <= reserved + 256);  // that of `second` alone
  std::vector<Tensor> others;
  for (int i = 0; i < 50; ++i) others.push_back(Tensor::full({3}, i));
  graph.replay(one);
  CHECK(values(first) == std::vector<float>{6, 12, 20});
  graph.replay(two);
  CHECK(values(second) == std::vector<float>{20, 30, 42});
  CHECK(values(first) == std::vector<float>{6, 12, 20});
  for (size_t i = 0; i < others.size(); ++i) {
    const auto kept = static_cast<float>(i);
    CHECK(values(others[i]) == std::vector<float>{kept, kept, kept});
  }
}

TEST_CASE("results outlive their graph, and its memory is everybody's again") {
  if (!StepGraph::possible()) return;
  const Tensor x = Tensor::full({5000}, 2);
  Tensor y;
  size_t reserved = 0;
  {
    StepGraph graph;
    graph.replay(graph.capture([&] { y = (x + 1.0) * x; }));
    reserved = memory_statistics().reserved;
  }
  const Tensor other = x * x;  // in the memory of x + 1
  CHECK(memory_statistics().reserved == reserved);
  CHECK(values(y) == std::vector<float>(5000, 6));
  CHECK(values(other) == std::vector<float>(5000, 4));
}

TEST_CASE("random keys that advance go on with the steps, others stay") {
  if (!StepGraph::possible()) return;
  const Tensor ones = Tensor::ones({100});
  const auto key = [](uint64_t step, bool advances) { return RandomKey{1, 2, step << 32, advances}; };
  Tensor dropped, kept, uniform, normal;
  StepGraph graph;
  const size_t number = graph.capture([&] {
    dropped = dropout(ones, 0.5, key(3, true));
    kept = dropout(ones, 0.5, key(3, false));
    uniform = random_uniform({100}, 0, 1, key(3, true));
    normal = random_normal({100}, 0, 1, key(3, true));
  });
  for (const int64_t later : {0, 5, 1000000}) {
    graph.replay(number, later);
    const RandomKey now = key(3 + static_cast<uint64_t>(later), false);
    CHECK(values(dropped) == values(dropout(ones, 0.5, now)));
    CHECK(values(uniform) == values(random_uniform({100}, 0, 1, now)));
    CHECK(values(normal) == values(random_normal({100}, 0, 1, now)));
    CHECK(values(kept) == values(dropout(ones, 0.5, key(3, false))));
  }
}

TEST_CASE("what would read a value or send one ends a capture, and the graph is as it was") {
  if (!StepGraph::possible()) return;
  const Tensor x = three(1, 2, 3);
  StepGraph graph;
  const auto refused = [&](const char* op, const std::function<void()>& body) {
    const std::string message =
        std::string("[") + op + "] reads a value from the device or sends it one, which captured work cannot repeat";
    CHECK_THROWS_WITH_AS(graph.capture([&] {
      const Tensor y = x + 1.0;
      body();
    }),
                         message.c_str(), Error);
    CHECK(!capturing());
    CHECK(values(x + 1.0) == std::vector<float>{2, 3, 4});
  };
  refused("item", [&] { sum(x).item(); });
  refused("to_vector", [&] { x.to_vector<float>(); });
  refused("to_bytes", [&] { x.to_bytes(); });
  refused("from", [&] { three(1, 2, 3); });
  refused("from_bytes", [] { Tensor::from_bytes("abcd", {1}, DType::float32); });
  refused("finish_device", [] { finish_device(); });
  refused("capture", [] { StepGraph().capture([] {}); });
  CHECK_THROWS_WITH_AS(graph.capture([] { throw std::runtime_error("of one's own"); }), "of one's own",
                       std::runtime_error);
  Tensor y;
  const size_t number = graph.capture([&] { y = x * x; });
  CHECK(number == 0);
  graph.replay(number);
  CHECK(values(y) == std::vector<float>{1, 4, 9});
}
