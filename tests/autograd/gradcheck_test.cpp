#include "autograd/gradcheck.h"

#include <doctest/doctest.h>

#include "autograd/function.h"
#include "core/error.h"
#include "tests/autograd/slopes.h"

using namespace gradus;
using namespace gradus::testing;

namespace {

/// The cube, with the slope given too large by a factor: in the first gradient, or only in that of the gradient.
struct WrongSlope : Function<WrongSlope> {
  static Var forward(SavedTensors& saved, const Var& x) {
    saved.save({x});
    return x * x * x;
  }
  static Var backward(const SavedTensors& saved, const Var& gy) { return gy * square(saved[0]) * 3.00001; }
};
struct WrongCurvature : Function<WrongCurvature> {
  static Var forward(SavedTensors& saved, const Var& x) {
    saved.save({x});
    return x * x * x;
  }
  static Var backward(const SavedTensors& saved, const Var& gy) { return gy * saved[0] * saved[0].detach() * 3.0; }
};
/// Two paths for the first gradient that do not agree.
struct TwoMinds : Function<TwoMinds> {
  static Var forward(SavedTensors&, const Var& x) { return x * 2.0; }
  static Var backward(const SavedTensors&, const Var& gy) { return recording() ? gy * 2.001 : gy * 2.0; }
};

}  // namespace

TEST_CASE("gradcheck accepts right gradients, of several inputs, one of them unused") {
  const auto f = [](std::span<const Var> x) { return sin(x[0]) * x[1]; };
  const std::vector<Var> inputs = {leaf({0.1, 0.2}), leaf({3, 4}), leaf({5})};
  const GradcheckResult result = gradcheck(f, inputs);
  CHECK_MESSAGE(result, result.message);
  CHECK(result.worst < 1e-9);
  CHECK(gradgradcheck(f, inputs));
}

TEST_CASE("gradcheck finds an error of 3 in a million and says where") {
  const auto f = [](std::span<const Var> x) { return WrongSlope::apply(x[0]); };
  const GradcheckResult result = gradcheck(f, {leaf({0.001, 2}, {2, 1})});
  CHECK_FALSE(result);
  CHECK(result.worst > 1e-6);
  CHECK(result.message.find("input 0, element [1,0]: the gradient is ") == 0);
}

TEST_CASE("gradcheck finds a gradient that is missing") {
  const auto f = [](std::span<const Var> x) { return sin(x[0].detach()); };
  CHECK_FALSE(gradcheck(f, {leaf({1})}));
}

TEST_CASE("gradcheck finds a gradient that is not a number") {
  const auto root = [](std::span<const Var> x) { return sqrt(x[0]); };
  CHECK_FALSE(gradcheck(root, {leaf({0})}));
  CHECK_FALSE(gradcheck(root, {leaf({0, 1})}));  // right ones that follow do not make up for it
}

TEST_CASE("gradcheck allows large gradients an error in proportion") {
  // Differences of numbers near 1e10 are off by 1e-6 / step, far more than a gradient of 1 may be.
  const auto times = [](std::span<const Var> x) { return sum(x[0] * 1e10); };
  CHECK(gradcheck(times, {leaf({0.3, -0.7})}));
}

TEST_CASE("gradgradcheck finds what gradcheck cannot: a wrong second derivative, or two paths that differ") {
  const auto curvature = [](std::span<const Var> x) { return WrongCurvature::apply(x[0]); };
  CHECK(gradcheck(curvature, {leaf({1, 2})}));
  CHECK_FALSE(gradgradcheck(curvature, {leaf({1, 2})}));
  const auto paths = [](std::span<const Var> x) { return TwoMinds::apply(x[0]); };
  CHECK(gradcheck(paths, {leaf({1, 2})}));
  const GradcheckResult result = gradgradcheck(paths, {leaf({1, 2})});
  CHECK_FALSE(result);
  CHECK(result.message.find("under create_graph") != std::string::npos);
}

TEST_CASE("gradcheck wants float64 leaves") {
  const auto f = [](std::span<const Var> x) { return sin(x[0]); };
  CHECK_THROWS_WITH_AS(gradcheck(f, {leaf({1}), Var::leaf(Tensor::ones({1}))}),
                       doctest::Contains("[gradcheck] input 1 must be a float64 leaf"), Error);
  CHECK_THROWS_WITH_AS(gradgradcheck(f, {leaf({1}) * 2.0}),
                       doctest::Contains("[gradgradcheck] input 0 must be a float64 leaf"), Error);
}

TEST_CASE("gradcheck moves what a function uses by itself, and moves it back") {
  const Var a = leaf({0.1, 0.2}), b = leaf({3, 4}, {2, 1});
  const auto f = [&] { return sin(a) * reshape(b, {2}); };
  for (const GradcheckResult& result : {gradcheck(f, {a, b}), gradgradcheck(f, {a, b})}) {
    CHECK(result.ok);
    CHECK(result.worst < 1e-9);
  }
  CHECK(a.value().to_vector<double>() == Values{0.1, 0.2});
  CHECK(b.value().to_vector<double>() == Values{3, 4});
  CHECK_FALSE(gradcheck([&] { return WrongSlope::apply(a) * 100.0; }, {a}).ok);
  CHECK_FALSE(gradgradcheck([&] { return WrongCurvature::apply(a) * 100.0; }, {a}).ok);
  int calls = 0;
  CHECK_THROWS_WITH_AS(gradcheck([&] { return ++calls == 3 ? sum(a, {5}) : f(); }, {a}), doctest::Contains("[sum]"),
                       Error);
  CHECK(a.value().to_vector<double>() == Values{0.1, 0.2});
}

TEST_CASE("gradcheck of some elements takes as many as it was told, other ones by another seed") {
  const Var x = Var::leaf(Tensor::zeros({50}, DType::float64));
  const auto moved = [&](int64_t most, uint64_t seed) {
    std::vector<int64_t> which;
    gradcheck(
        [&](std::span<const Var> at) {
          const Values values = at[0].value().to_vector<double>();
          for (size_t i = 0; i < values.size(); ++i)
            if (values[i] > 0 && (which.empty() || which.back() != static_cast<int64_t>(i)))
              which.push_back(static_cast<int64_t>(i));
          return sin(at[0]);
        },
        {x}, {.seed = seed, .most = most});
    return which;
  };
  CHECK(moved(0, 0).size() == 50);
  CHECK(moved(70, 0).size() == 50);
  CHECK(moved(7, 0).size() == 7);
  CHECK(moved(7, 0) == moved(7, 0));
  CHECK(moved(7, 0) != moved(7, 1));
  CHECK_THROWS_WITH_AS(moved(-1, 0), doctest::Contains("most must be at least 1, or 0 for all, got -1"), Error);
}

TEST_CASE("gradcheck of what is frozen or not recorded is refused") {
  const Var x = leaf({1, 2}), frozen = leaf({1, 2});
  frozen.set_requires_grad(false);
  const auto f = [&] { return x * frozen; };
  CHECK_THROWS_WITH_AS(gradcheck(f, {x, frozen}),
                       "[gradcheck] input 1 is frozen and has no gradient: thaw it, or leave it out", Error);
  CHECK(gradcheck(f, {x}).ok);
  const NoGrad nothing;
  CHECK_THROWS_WITH_AS(gradgradcheck(f, {x}), doctest::Contains("[gradgradcheck] nothing is recorded here"), Error);
}
